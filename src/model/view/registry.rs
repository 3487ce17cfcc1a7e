//! The list of kinds of view: their words and modules.

/// Makes `ViewKind` and `View` of the kinds that there are, an entry each: what users read of it, the word, and the
/// type that implements [`ItemView`](super::ItemView).
macro_rules! views {
    ($($(#[doc = $doc:literal])+ $(#[cfg($($cfg:tt)+)])? $word:literal => $variant:ident($module:ty)),+ $(,)?) => {
        crate::choice! {
            /// What a view consists of.
            pub enum ViewKind {
                $($(#[doc = $doc])+ $(#[cfg($($cfg)+)])? $variant = $word),+
            }
        }

        impl ViewKind {
            /// Whether a feature store is read.
            pub fn reads_features(self) -> bool {
                match self {
                    $($(#[cfg($($cfg)+)])? Self::$variant => <$module as ItemView>::READS_FEATURES),+
                }
            }

            /// Whether every item has a vector of its own that is trained: one that new items lack.
            pub fn has_table(self) -> bool {
                match self {
                    $($(#[cfg($($cfg)+)])? Self::$variant => <$module as ItemView>::HAS_TABLE),+
                }
            }

            /// Whether `settings` is read.
            pub(super) fn reads_settings(self) -> bool {
                match self {
                    $($(#[cfg($($cfg)+)])? Self::$variant => <$module as ItemView>::READS_SETTINGS),+
                }
            }

            /// Rules of one view's settings; `key` makes the dotted key of one.
            pub(super) fn check(
                self,
                view: &ViewConfig,
                others: &[ViewConfig],
                width: usize,
                key: &dyn Fn(&str) -> String,
            ) -> Checked {
                match self {
                    $($(#[cfg($($cfg)+)])? Self::$variant => <$module>::check(view, others, width, key)),+
                }
            }
        }

        /// One view of an item.
        #[derive(Module, Debug)]
        pub enum View {
            $($(#[cfg($($cfg)+)])? $variant($module)),+
        }

        impl View {
            /// A view with fresh weights.
            pub fn new(config: &ViewConfig, context: &ViewContext<'_>, init: &mut Init) -> Self {
                match config.kind {
                    $($(#[cfg($($cfg)+)])? ViewKind::$variant => {
                        Self::$variant(<$module>::new(config, context, init))
                    }),+
                }
            }

            /// Tokens of `items`; `features` are theirs where the view reads a store.
            ///
            /// # Shapes
            /// - features: `[N, T, F]`
            /// - result: `[N, T, D]`, T the view's own without features
            pub fn forward(&self, items: &[u32], features: Option<&GroupTokens>, device: &Device) -> Tensor<3> {
                match self {
                    $($(#[cfg($($cfg)+)])? Self::$variant(view) => view.forward(items, features, device)),+
                }
            }

            /// The vectors of a view that has one per item.
            pub fn table(&self) -> Option<&IdView> {
                match self {
                    $($(#[cfg($($cfg)+)])? Self::$variant(view) => view.table()),+
                }
            }

            /// [`Self::table`], to be changed.
            pub fn table_mut(&mut self) -> Option<&mut IdView> {
                match self {
                    $($(#[cfg($($cfg)+)])? Self::$variant(view) => view.table_mut()),+
                }
            }
        }
    };
}
