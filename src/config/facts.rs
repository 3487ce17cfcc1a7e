//! Facts of keys, as commands ask for them.

use serde_json::Value;

use super::keys::ROOT;
use super::rules::invalid;
use super::section::{Fact, Form, Section};
use super::{Config, ConfigError};

/// Whether a fact holds of the dotted `key`, whose list entries are numbered. What no section knows has no facts but
/// those of the table it stands in.
pub fn has_fact(key: &str, fact: Fact) -> bool {
    let Form::Table(root) = &*ROOT else { return false };
    let mut place = Place { form: Some(&ROOT), held: root.facts.contains(&fact), own: false };
    for part in key.split('.') {
        place = place.enter(part, fact);
    }
    place.held || place.own
}

/// How far [`has_fact`] has come along a key.
struct Place {
    /// Absent behind what no section knows.
    form: Option<&'static Form>,
    /// Of the tables and lists passed through, which speak for all that is in them.
    held: bool,
    /// Of the key itself.
    own: bool,
}

impl Place {
    fn enter(self, part: &str, fact: Fact) -> Self {
        let Some(form) = self.form else { return self };
        match form.present() {
            Form::Table(section) => match section.key(part) {
                Some(key) => Self {
                    form: Some(&key.form),
                    held: self.held || holds(&key.form, fact),
                    own: key.facts.contains(&fact),
                },
                None => Self { form: None, own: false, ..self },
            },
            Form::List(entry) | Form::Map(entry) => {
                Self { form: Some(entry), held: self.held || self.own || holds(entry, fact), own: false }
            }
            // Keys of a kind have no facts of their own; a single value holds nothing.
            _ => Self { form: None, ..self },
        }
    }
}

/// Whether the fact holds for all keys of a table.
fn holds(form: &Form, fact: Fact) -> bool {
    matches!(form.present(), Form::Table(section) if section.facts.contains(&fact))
}

/// A key as [`keys_with`] has it for each entry of the list in it; itself where there is no list.
fn numbered(key: &str, config: &Value) -> Vec<String> {
    let Some((list, rest)) = key.split_once(".N.") else { return vec![key.to_owned()] };
    let entries = config.pointer(&format!("/{}", list.replace('.', "/"))).and_then(Value::as_array);
    (0..entries.map_or(0, Vec::len)).map(|n| format!("{list}.{n}.{rest}")).collect()
}

/// The fewest dotted keys and tables that name all keys of which `has` is true, in the order of the configuration. `N` stands
/// for the number of a list's entry.
pub fn keys_with(has: impl Fn(&str) -> bool) -> Vec<String> {
    let Form::Table(root) = &*ROOT else { return Vec::new() };
    let mut found = Vec::new();
    gather(root, "", &has, &mut found);
    found
}

impl Config {
    /// Takes the values of all keys of which `has` is true from another configuration.
    ///
    /// # Errors
    /// A path is not UTF-8, so that a configuration can't be written.
    pub fn take(&mut self, given: &Self, has: impl Fn(&str) -> bool) -> Result<(), ConfigError> {
        let unwritten = |error: serde_json::Error| invalid("config", format!("can't be written: {error}"));
        let mut own = serde_json::to_value(&*self).map_err(unwritten)?;
        let given = serde_json::to_value(given).map_err(unwritten)?;
        let keys: Vec<String> = keys_with(has).iter().flat_map(|key| numbered(key, &own)).collect();
        for key in keys {
            let pointer = format!("/{}", key.replace('.', "/"));
            let (table, name) = pointer.rsplit_once('/').unwrap_or_default();
            let Some(table) = own.pointer_mut(table).and_then(Value::as_object_mut) else { continue };
            // What is not written has its default.
            match given.pointer(&pointer) {
                Some(value) => table.insert(name.to_owned(), value.clone()),
                None => table.remove(name),
            };
        }
        *self = serde_json::from_value(own).map_err(unwritten)?;
        Ok(())
    }
}

/// Returns whether `has` is true of all keys of the section; else those of which it is are found.
fn gather(section: &Section, prefix: &str, has: &dyn Fn(&str) -> bool, found: &mut Vec<String>) -> bool {
    let before = found.len();
    let mut all = true;
    for key in &section.keys {
        let dotted = if prefix.is_empty() { key.name.to_owned() } else { format!("{prefix}.{}", key.name) };
        let whole = match key.form.present() {
            Form::Table(inner) => gather(inner, &dotted, has, found),
            Form::List(entry) if !has(&dotted) => match entry.present() {
                Form::Table(inner) => gather(inner, &format!("{dotted}.N"), has, found),
                _ => false,
            },
            _ => has(&dotted),
        };
        if whole {
            found.push(dotted);
        }
        all &= whole;
    }
    if all {
        found.truncate(before);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TeacherConfig;
    use Fact::{Benched, Idle, KeptOnResume, Replicate, Resumable, Unlisted, Unsearched, Workload};

    /// Keys and tables with a fact, as commands name them.
    fn named(fact: Fact) -> String {
        keys_with(|key| has_fact(key, fact)).join(" ")
    }

    #[test]
    fn facts_say_which_keys_a_command_may_change() {
        let resumable = "objective.distill.teachers.N.run \
             train.epochs train.stop_after train.patience train.patience_of train.checkpoint_steps train.keep train.prefetch monitor";
        assert_eq!(named(Resumable), resumable);
        assert_eq!(named(KeptOnResume), "device run data.path");
        assert_eq!(
            named(Unsearched),
            "device run system train.epochs train.stop_after train.metric train.parent train.fitted_by eval monitor"
        );
        let idle = "device run data.path train.checkpoint_steps train.keep train.prefetch monitor";
        assert_eq!(named(Idle), idle);
        assert_eq!(named(Replicate), "seed");
        let unlisted = "data.synth data.features train.epochs train.stop_after train.eval_every train.patience train.patience_of train.savings train.parent train.fitted_by eval";
        assert_eq!(named(Unlisted), unlisted);
        let read = keys_with(|key| has_fact(key, Benched) || has_fact(key, Workload)).join(" ");
        assert_eq!(read, "seed model objective optim train.savings eval");
        let workload =
            "model.width model.views model.tower.blocks model.tower.heads model.branches objective.kind";
        assert_eq!(named(Workload), workload);
    }

    #[test]
    fn entries_of_a_list_have_its_facts_and_keys_of_a_table_those_of_the_table() {
        for key in ["model", "model.tower", "model.views.0.width", "model.branches.1.encoder.blocks"] {
            assert!(has_fact(key, Workload), "{key}");
        }
        for key in ["objective", "model.tower.id_visible", "model.dropout"] {
            assert!(!has_fact(key, Workload) && has_fact(key, Benched), "{key}");
        }
        assert!(has_fact("data.features.text", Unlisted) && has_fact("data.synth.users", Unlisted));
        assert!(has_fact("monitor", Resumable) && has_fact("monitor.log_every", Resumable));
        assert!(has_fact("eval.unknown", Unsearched) && has_fact("device.unknown", Unsearched));
        assert!(!has_fact("train", Unsearched) && !has_fact("unknown.key", Idle));
    }

    #[test]
    fn only_the_keys_that_are_asked_for_are_taken() {
        let mut own = Config::default();
        let mut given = Config { seed: 9, ..Config::default() };
        given.train.epochs = 3;
        given.train.batch_users = 7;
        given.monitor.log_every = 1;
        own.take(&given, |key| has_fact(key, Resumable)).unwrap();
        let mut wanted = Config::default();
        (wanted.train.epochs, wanted.monitor.log_every) = (3, 1);
        assert_eq!(own, wanted);
    }

    #[test]
    fn a_key_of_a_list_is_taken_for_each_of_its_entries() {
        let listed = |run: &str| {
            let teacher =
                |name: &str| TeacherConfig { name: name.into(), run: format!("{run}/{name}").into() };
            let mut config = Config::default();
            config.objective.distill.teachers = ["a", "b"].map(teacher).into();
            config
        };
        let mut own = listed("here");
        own.take(&listed("there"), |key| has_fact(key, Resumable)).unwrap();
        assert_eq!(own, listed("there"));
        own.take(&listed("here"), |key| has_fact(key, KeptOnResume)).unwrap();
        assert_eq!(own, listed("there"));
    }
}
