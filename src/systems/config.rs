//! Which system is trained, and the settings of systems that keep them here.

use crate::config::rules::{Checked, check_name};
use crate::section;

/// The kind that reads the sections `model` and `objective`.
pub const OWN: &str = "codistill";

section! {
    /// Which system is trained.
    #[facts(Unsearched)]
    pub struct SystemConfig {
        /// Its name in the registry of systems. `codistill` reads the sections `model` and `objective`; programs that use
        /// the library may have others.
        pub kind: String = OWN.into(),
        /// Settings of a system other than `codistill`, which are its own.
        #[serde(skip_serializing_if = "toml::Table::is_empty")]
        pub settings: toml::Table = toml::Table::new(),
    }
}

impl SystemConfig {
    /// Whether nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the sections `model` and `objective` describe the system.
    pub fn reads_model(&self) -> bool {
        self.kind == OWN
    }

    pub(crate) fn validate(&self) -> Checked {
        check_name("system.kind", &self.kind, "_-")
    }
}
