//! `ROLE=NAME`: which column holds what.

use super::super::Failure;
use codistill::data::source::{Columns, Role};

/// Names columns of the log by `--column`, which may be meant for a catalogue too where there is one.
pub(super) fn name_columns(
    pairs: &[String],
    log: &mut Columns,
    catalogue: &mut Columns,
    has_catalogue: bool,
) -> Result<(), Failure> {
    for pair in pairs {
        match role(pair, "--column")? {
            (Role::Item, name) => {
                set(log, Role::Item, name);
                // Log and catalogue may name it alike: it is meant for those that have it.
                if has_catalogue {
                    set(catalogue, Role::Item, name);
                    (log.item_or_usual, catalogue.item_or_usual) = (true, true);
                }
            }
            (role @ (Role::User | Role::Time | Role::Value | Role::Part), name) => set(log, role, name),
            (role, name) => set(catalogue, role, name),
        }
    }
    Ok(())
}

/// Names columns of the catalogue by `--items-column`.
pub(super) fn name_item_columns(
    pairs: &[String],
    log: &mut Columns,
    catalogue: &mut Columns,
) -> Result<(), Failure> {
    for pair in pairs {
        match role(pair, "--items-column")? {
            (role @ (Role::User | Role::Time | Role::Value | Role::Part), name) => {
                let message = format!("--items-column {}={name} has no effect on a catalogue", role.name());
                return Err(Failure::user(message, format!("use --column {}={name}", role.name())));
            }
            (Role::Item, name) => {
                set(catalogue, Role::Item, name);
                (log.item_or_usual, catalogue.item_or_usual) = (false, false);
            }
            (role, name) => set(catalogue, role, name),
        }
    }
    Ok(())
}

/// `ROLE=NAME` taken apart.
fn role<'a>(pair: &'a str, option: &str) -> Result<(Role, &'a str), Failure> {
    let roles = [
        Role::User,
        Role::Item,
        Role::Time,
        Role::Value,
        Role::Part,
        Role::Title,
        Role::Category,
        Role::Image,
    ];
    let (name, column) = pair.split_once('=').unwrap_or((pair, ""));
    match roles.into_iter().find(|role| role.name() == name && pair.contains('=')) {
        Some(role) => Ok((role, column)),
        None if name == "text" => Err(Failure::user(
            format!("{option} {pair} names no role"),
            format!("use --text-column {column}"),
        )),
        None => Err(Failure::user(
            format!("{option} {pair} names no role"),
            "use ROLE=NAME with user, item, time, value, part, title, category or image",
        )),
    }
}

/// An empty name means that the role has no column.
fn set(columns: &mut Columns, role: Role, name: &str) {
    if name.is_empty() {
        columns.without.push(role);
        return;
    }
    let field = match role {
        Role::User => &mut columns.user,
        Role::Item => &mut columns.item,
        Role::Time => &mut columns.time,
        Role::Value => &mut columns.value,
        Role::Part => &mut columns.part,
        Role::Title => &mut columns.title,
        Role::Category => &mut columns.category,
        Role::Image => &mut columns.image,
        Role::Text | Role::Kept => return,
    };
    name.clone_into(field);
}
