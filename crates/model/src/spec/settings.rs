//! Limits that a task has for itself, by name.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{Limit, Setting};

/// Limits with their values, each limit once: `{"cpu": "10m", "files": "none"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<Limit, Setting>);

impl Settings {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What is set.
    pub fn iter(&self) -> impl Iterator<Item = Setting> {
        self.0.values().copied()
    }

    /// What a limit is set to.
    pub fn get(&self, limit: Limit) -> Option<Setting> {
        self.0.get(&limit).copied()
    }

    /// Says nothing of a limit any more.
    pub fn clear(&mut self, limit: Limit) {
        self.0.remove(&limit);
    }

    /// Sets a limit, in place of what it was set to.
    pub fn set(&mut self, setting: Setting) {
        self.0.insert(setting.limit, setting);
    }
}

impl Extend<Setting> for Settings {
    fn extend<I: IntoIterator<Item = Setting>>(&mut self, settings: I) {
        settings.into_iter().for_each(|setting| self.set(setting));
    }
}

impl FromIterator<Setting> for Settings {
    fn from_iter<I: IntoIterator<Item = Setting>>(settings: I) -> Self {
        let mut all = Self::default();
        all.extend(settings);
        all
    }
}

impl<const COUNT: usize> From<[Setting; COUNT]> for Settings {
    fn from(settings: [Setting; COUNT]) -> Self {
        settings.into_iter().collect()
    }
}

impl IntoIterator for &Settings {
    type Item = Setting;
    type IntoIter = std::vec::IntoIter<Setting>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter().collect::<Vec<_>>().into_iter()
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = self.iter();
        serializer.collect_map(shown.map(|setting| (setting.limit, setting.shown())))
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Settings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limits by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
        let mut settings = Settings::default();
        while let Some(limit) = map.next_key::<Limit>()? {
            settings.set(map.next_value_seed(Value(limit))?);
        }
        Ok(settings)
    }
}

/// The value of a limit: a text, or a number where the limit counts things or bytes.
struct Value(Limit);

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Setting;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Setting, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Value {
    type Value = Setting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of the limit {}", self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Setting, E> {
        Setting::new(self.0, text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Setting, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Setting, E> {
        self.visit_str(&number.to_string())
    }
}
