//! What every section of the configuration can do: name its fields, hand one over, print them.

/// One section.
pub trait Section {
    /// Its name in the file.
    const NAME: &'static str;
    /// The names of its fields, in the order in which they are shown.
    const FIELDS: &'static [&'static str];

    /// Takes over one field of another value; a name that is not in [`Section::FIELDS`] changes nothing.
    fn take(&mut self, field: &str, from: &Self);
}

/// Makes a type a [`Section`]. A field that is left out does not compile.
macro_rules! section {
    ($name:literal: $section:ident { $($field:ident),+ $(,)? }) => {
        impl crate::config::section::Section for $section {
            const NAME: &'static str = $name;
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),+];

            fn take(&mut self, name: &str, from: &Self) {
                let Self { $($field),+ } = from;
                $(if name == stringify!($field) {
                    self.$field = $field.clone();
                })+
            }
        }
    };
}

pub(super) use section;

/// Reads a section; one with nothing but its name has its defaults.
pub(super) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    <Option<T> as serde::Deserialize>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Serialises a quantity with its unit.
pub(super) fn with_unit<T: std::fmt::Display, S: serde::Serializer>(
    quantity: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(quantity)
}
