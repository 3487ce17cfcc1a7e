//! How a section of the configuration is written down: every key once, with its type, its default, what it is and
//! the facts that commands ask for.
//!
//! A section lives with the module that reads it and is made by one of two macros:
//!
//! - [`section!`](crate::section): a table, or an entry of a list of tables. A key without a default must be given.
//! - [`choice!`](crate::choice): one word out of several.
//!
//! Each makes the type, how it is read (unknown keys are errors), its `Default` where every key has one, and its
//! [`Form`]. The forms of all sections together say which keys exist: hints at misspelt keys, the rules of `--set`,
//! `--resume`, `tune`, `compare` and `bench`, `docs/configuration.md` and `docs/configuration.schema.json` come from
//! there. Descriptions are what users read, so they speak of nothing that a user can't see.
//!
//! A new key is one line in its section, with its description and its rule beside it. A new section is a
//! [`section!`](crate::section) with its owner, a key of that type where it belongs, and a line that re-exports it in
//! `config`; a list of tables is a key of type `Vec<…>`; a new kind of encoder is a line of `model::encoder`'s list.
//! `docs/` is made anew by the command that its test names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What holds of a key beyond its type. Where nothing is said, a key is fixed once a run has begun, a search may
/// vary it, and runs that differ in it have learned different things.
///
/// Facts of a section hold for all its keys, those of a key that is a list or a map for all its entries. Those of a
/// key that is a table speak of the table as a whole (`--set model={…}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A run that goes on with `train --resume` takes a new value.
    Resumable,
    /// A configuration that is given to `train --resume` may say something else; the run keeps its own value.
    KeptOnResume,
    /// No search may vary it: trials would not be comparable.
    Unsearched,
    /// It changes nothing that is learned: runs that differ in it alone are still runs of one condition.
    Idle,
    /// Runs of one condition differ in it.
    Replicate,
    /// A change of it is no column of TensorBoard's HParams page.
    Unlisted,
    /// `bench` reads it, so that `--config-set` may change it.
    Benched,
    /// It makes a workload of `bench` what it is, so that `--config-set` may not change it.
    Workload,
}

/// Kinds that exist in tests alone, which users are not told of.
#[cfg(test)]
pub(crate) const TEST_KINDS: [&str; 1] = ["toy"];

/// What can stand in a place of the configuration.
#[derive(Clone, Debug)]
pub enum Form {
    /// true or false.
    Flag,
    /// A whole number from 0 on.
    Whole,
    Real,
    Text,
    Path,
    Choice(Vec<Word>),
    List(Box<Form>),
    /// Names of the user's own, each with a value.
    Map(Box<Form>),
    /// Whatever its reader makes of it.
    Any,
    /// What may be absent, which means something of its own.
    Optional(Box<Form>),
    Table(Section),
    /// A table by its `kind`; each is named by its word.
    Kinds(Vec<Section>),
}

/// One word of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    pub word: &'static str,
    about: &'static [&'static str],
}

/// A table: its keys in the order in which they are written.
#[derive(Clone, Debug)]
pub struct Section {
    /// The word of a kind, else the type's name.
    pub name: &'static str,
    about: &'static [&'static str],
    /// Of all keys.
    pub facts: &'static [Fact],
    pub keys: Vec<Key>,
}

/// A key of a table.
#[derive(Clone, Debug)]
pub struct Key {
    pub name: &'static str,
    about: &'static [&'static str],
    pub form: Form,
    /// Absent where the key must be given; null where it may be absent.
    pub default: Option<Value>,
    pub facts: &'static [Fact],
}

/// The name of the key that chooses among [`Form::Kinds`].
pub const KIND: &str = "kind";

impl Form {
    /// The form itself, of something that may be absent.
    pub fn present(&self) -> &Self {
        match self {
            Self::Optional(form) => form.present(),
            form => form,
        }
    }
}

impl Word {
    pub const fn new(word: &'static str, about: &'static [&'static str]) -> Self {
        Self { word, about }
    }

    pub fn about(&self) -> String {
        text(self.about)
    }
}

impl Section {
    pub fn new(
        name: &'static str,
        about: &'static [&'static str],
        facts: &'static [Fact],
        keys: Vec<Key>,
    ) -> Self {
        Self { name, about, facts, keys }
    }

    /// The section as the kind that is called so.
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub fn about(&self) -> String {
        text(self.about)
    }

    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Key {
    pub fn new<T: Described + Serialize>(
        name: &'static str,
        about: &'static [&'static str],
        facts: &'static [Fact],
        default: Option<T>,
    ) -> Self {
        let default = default.map(|value| serde_json::to_value(value).unwrap_or_default());
        Self { name, about, form: T::form(), default, facts }
    }

    pub fn about(&self) -> String {
        text(self.about)
    }
}

/// Lines of a doc comment as one line.
fn text(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Words as a sentence lists them: `all, window or keep`.
pub fn listed(words: &[Word]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.word).collect();
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}

/// Words that users are told of.
pub fn shown(words: &[Word]) -> Vec<Word> {
    #[cfg(test)]
    let is_told = |word: &&Word| !TEST_KINDS.contains(&word.word);
    #[cfg(not(test))]
    let is_told = |_: &&Word| true;
    words.iter().filter(is_told).copied().collect()
}

/// A type that can stand in the configuration.
pub trait Described {
    fn form() -> Form;
}

macro_rules! plain {
    ($($type:ty => $form:ident),+ $(,)?) => {
        $(impl Described for $type {
            fn form() -> Form {
                Form::$form
            }
        })+
    };
}

plain! {
    bool => Flag,
    u32 => Whole,
    u64 => Whole,
    usize => Whole,
    f64 => Real,
    String => Text,
    PathBuf => Path,
}

impl<T: Described> Described for Vec<T> {
    fn form() -> Form {
        Form::List(Box::new(T::form()))
    }
}

impl<T: Described> Described for BTreeMap<String, T> {
    fn form() -> Form {
        Form::Map(Box::new(T::form()))
    }
}

impl Described for toml::Table {
    fn form() -> Form {
        Form::Map(Box::new(Form::Any))
    }
}

impl<T: Described> Described for Option<T> {
    fn form() -> Form {
        Form::Optional(Box::new(T::form()))
    }
}

/// A value that was given, or none; the macros put the default in its place.
pub struct Given<T>(pub Option<T>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

/// A table of the configuration as a struct.
///
/// ```
/// codistill::section! {
///     /// How a thing is done.
///     #[facts(Unlisted)]
///     pub struct ThingConfig {
///         /// Things at a time, from 1 on.
///         #[facts(Resumable, Unsearched)]
///         pub count: usize = 3,
///     }
/// }
/// assert_eq!(ThingConfig::default(), toml::from_str("count = 3").unwrap());
/// assert!(toml::from_str::<ThingConfig>("counts = 3").is_err());
/// ```
///
/// Every struct derives `Clone`, `Debug`, `PartialEq` and serde's `Serialize`, and more after its description
/// (`#[derive(Copy)]`). A key without `= default` must be given; a struct with such a key has no `Default`.
/// `#[serde(…)]` behind the facts of a key says how it is written.
#[macro_export]
macro_rules! section {
    // Every key has a default.
    (
        $(#[doc = $about:literal])+
        $(#[derive($($more:ident),+)])?
        $(#[facts($($shared:ident),+)])?
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[facts($($fact:ident),+)])?
                $(#[serde($($serde:tt)+)])?
                pub $key:ident: $type:ty = $default:expr
            ),+ $(,)?
        }
    ) => {
        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default),+ }
            }
        }
        $crate::section! {
            @type $name [$($about)+] [$($($more)+)?] [$($($shared)+)?]
            $($key [$type] [$default] [$($doc)+] [$($($fact)+)?] [$($($serde)+)?])+
        }
    };
    // Some keys must be given.
    (
        $(#[doc = $about:literal])+
        $(#[derive($($more:ident),+)])?
        $(#[facts($($shared:ident),+)])?
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[facts($($fact:ident),+)])?
                $(#[serde($($serde:tt)+)])?
                pub $key:ident: $type:ty $(= $default:expr)?
            ),+ $(,)?
        }
    ) => {
        $crate::section! {
            @type $name [$($about)+] [$($($more)+)?] [$($($shared)+)?]
            $($key [$type] [$($default)?] [$($doc)+] [$($($fact)+)?] [$($($serde)+)?])+
        }
    };
    // The type, how it is read, and its form.
    (
        @type $name:ident [$($about:literal)+] [$($more:ident)*] [$($shared:ident)*]
        $($key:ident [$type:ty] [$($default:expr)?] [$($doc:literal)+] [$($fact:ident)*] [$($serde:tt)*])+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize $(, $more)*)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                #[serde($($serde)*)]
                pub $key: $type,
            )+
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let given = {
                    // Of the same name, which messages of the reader tell.
                    #[derive(serde::Deserialize)]
                    #[serde(deny_unknown_fields)]
                    struct $name {
                        $(
                            $(#[doc = stringify!($default)] #[serde(default)])?
                            $key: $crate::section!(@given $type $(, $default)?),
                        )+
                    }
                    <$name as serde::Deserialize>::deserialize(deserializer)?
                };
                Ok(Self { $($key: $crate::section!(@value given.$key $(, $default)?)),+ })
            }
        }

        impl $crate::config::section::Described for $name {
            fn form() -> $crate::config::section::Form {
                use $crate::config::section::{Fact, Form, Key, Section};
                const SHARED: &[Fact] = &[$(Fact::$shared),*];
                let keys = vec![
                    $(Key::new::<$type>(
                        stringify!($key),
                        &[$($doc),+],
                        &[$(Fact::$fact),*],
                        $crate::section!(@default $type $(, $default)?),
                    )),+
                ];
                Form::Table(Section::new(stringify!($name), &[$($about),+], SHARED, keys))
            }
        }
    };
    (@given $type:ty) => { $type };
    (@given $type:ty, $default:expr) => { $crate::config::section::Given<$type> };
    (@value $given:expr) => { $given };
    (@value $given:expr, $default:expr) => { $given.0.unwrap_or_else(|| $default) };
    (@default $type:ty) => { None };
    (@default $type:ty, $default:expr) => { Some($default) };
}

/// One word out of several, as an enum that reads itself from the word ([`std::str::FromStr`]) and knows all words
/// (`WORDS`).
///
/// ```
/// codistill::choice! {
///     /// How fast a thing goes.
///     pub enum Pace {
///         /// One step at a time.
///         Slow = "slow",
///         /// All at once.
///         Fast = "fast",
///     }
/// }
/// assert_eq!("fast".parse(), Ok(Pace::Fast));
/// assert_eq!("swift".parse::<Pace>(), Err("use slow or fast".to_owned()));
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $name:ident {
            $($(#[doc = $doc:literal])+ $(#[cfg($($cfg:tt)+)])? $variant:ident = $word:literal),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[doc = $doc])+ $(#[cfg($($cfg)+)])? #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The words, as a configuration and the command line have them.
            pub const WORDS: &'static [$crate::config::section::Word] =
                &[$($(#[cfg($($cfg)+)])? $crate::config::section::Word::new($word, &[$($doc),+])),+];

            /// The word, as a configuration and reports have it.
            pub fn word(self) -> &'static str {
                match self {
                    $($(#[cfg($($cfg)+)])? Self::$variant => $word),+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($(#[cfg($($cfg)+)])? $word => Ok(Self::$variant),)+
                    _ => Err(format!("use {}", $crate::config::section::listed(Self::WORDS))),
                }
            }
        }

        impl $crate::config::section::Described for $name {
            fn form() -> $crate::config::section::Form {
                $crate::config::section::Form::Choice($crate::config::section::shown(Self::WORDS))
            }
        }
    };
}
