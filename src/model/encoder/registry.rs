//! The list of encoders: settings and modules by the word that a configuration has for their kind.

/// Makes `EncoderConfig` and `UserEncoder` of the encoders that there are, a line each: the word, and the type that
/// implements [`Encoder`](super::Encoder).
macro_rules! encoders {
    ($($(#[$attribute:meta])* $word:literal => $variant:ident $(($module:ty))?),+ $(,)?) => {
        /// The user encoder of a branch: item vectors of a history in, one user vector per position out.
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(tag = "kind")]
        pub enum EncoderConfig {
            $($(#[$attribute])* #[serde(rename = $word)] $variant(encoders!(@settings $variant $($module)?))),+
        }

        impl Default for EncoderConfig {
            fn default() -> Self {
                encoders!(@first $($variant)+)
            }
        }

        impl<'de> serde::Deserialize<'de> for EncoderConfig {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                type Whole = EncoderConfig;
                {
                    // Of the same name, which messages of the reader tell.
                    #[derive(serde::Deserialize)]
                    #[serde(tag = "kind")]
                    enum EncoderConfig {
                        $($(#[$attribute])* #[serde(rename = $word)]
                        $variant(encoders!(@settings $variant $($module)?))),+
                    }
                    Ok(match <EncoderConfig as serde::Deserialize>::deserialize(deserializer)? {
                        $($(#[$attribute])* EncoderConfig::$variant(settings) => Whole::$variant(settings)),+
                    })
                }
            }
        }

        impl crate::config::section::Described for EncoderConfig {
            fn form() -> crate::config::section::Form {
                use crate::config::section::Form;
                let mut kinds = Vec::new();
                $($(#[$attribute])* {
                    let form = <encoders!(@settings $variant $($module)?)>::form();
                    if let Form::Table(section) = form {
                        kinds.push(section.named($word));
                    }
                })+
                Form::Kinds(kinds)
            }
        }

        impl EncoderConfig {
            /// Rules of the settings; `key` makes the dotted key of one.
            pub(super) fn validate(&self, width: usize, key: &dyn Fn(&str) -> String) -> Checked {
                match self {
                    $($(#[$attribute])* Self::$variant(settings) => settings.validate(width, key)),+
                }
            }
        }

        /// Turns the item vectors of a history into a user vector at every position.
        #[derive(Module, Debug)]
        pub enum UserEncoder {
            $($(#[$attribute])* $variant(encoders!(@module $variant $($module)?))),+
        }

        impl UserEncoder {
            /// An encoder with fresh weights.
            pub fn new(config: &EncoderConfig, context: EncoderContext, init: &mut Init) -> Self {
                match config {
                    $($(#[$attribute])* EncoderConfig::$variant(settings) => {
                        Self::$variant(Encoder::new(settings, context, init))
                    }),+
                }
            }

            /// Whether padded positions cost little but copies: the CPU's kernels pass them over.
            pub fn passes_padding_over(&self) -> bool {
                match self {
                    $($(#[$attribute])* Self::$variant(encoder) => encoder.passes_padding_over()),+
                }
            }

            /// # Shapes
            /// - x: `[B, S, D]`
            /// - rows: which of the `[B, S]` hold an item
            /// - result: `[B, S, D]`; meaningless at the others
            pub fn forward(&self, x_bsd: Tensor<3>, rows: &Rows, noise: &mut Noise) -> Tensor<3> {
                match self {
                    $($(#[$attribute])* Self::$variant(encoder) => encoder.forward(x_bsd, rows, noise)),+
                }
            }
        }
    };
    (@module $variant:ident) => { $variant };
    (@module $variant:ident $module:ty) => { $module };
    (@settings $variant:ident) => { <$variant as Encoder>::Settings };
    (@settings $variant:ident $module:ty) => { <$module as Encoder>::Settings };
    (@first $variant:ident $($others:ident)*) => { Self::$variant(Default::default()) };
}
