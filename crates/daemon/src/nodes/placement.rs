//! Which tasks this node can run, and why no node can run one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;

use super::needs::Needs;
use super::offer::Offer;
use crate::store::ClassId;

/// The classes of tasks that there are, and which of them this node can serve.
pub(crate) struct Placement {
    known: Mutex<Known>,
}

struct Known {
    offer: Offer,
    /// What tasks of each class need; `None` where this build does not know it.
    classes: BTreeMap<ClassId, Option<Needs>>,
    /// The classes that have been asked for here, by their texts.
    by_text: HashMap<String, ClassId>,
    /// The classes that this node can serve.
    served: Vec<ClassId>,
}

impl Placement {
    /// Of a node with these labels.
    pub(super) fn new(labels: BTreeMap<String, String>) -> Self {
        Self {
            known: Mutex::new(Known {
                offer: Offer::new(labels),
                classes: BTreeMap::new(),
                by_text: HashMap::new(),
                served: vec![ClassId::ANY],
            }),
        }
    }

    /// What this node offers, as it was a moment ago.
    pub(super) fn offer(&self) -> Offer {
        self.known.lock().offer.clone()
    }

    /// The classes that this node can serve.
    pub(crate) fn served(&self) -> Vec<ClassId> {
        self.known.lock().served.clone()
    }

    /// Whether this node can run tasks of a class.
    pub(crate) fn serves(&self, class: ClassId) -> bool {
        self.known.lock().served.contains(&class)
    }

    /// What tasks of a class need, where this build knows it.
    pub(super) fn needs(&self, class: ClassId) -> Option<Needs> {
        self.known.lock().classes.get(&class)?.clone()
    }

    /// The class of a text, if it has been asked for before.
    pub(super) fn class(&self, text: &str) -> Option<ClassId> {
        self.known.lock().by_text.get(text).copied()
    }

    /// Notes the class of a text that was asked for.
    pub(super) fn note(&self, text: String, class: ClassId) {
        self.known.lock().by_text.insert(text, class);
    }

    /// Learns which classes there are, and looks which of them this node can serve. Where nothing is
    /// new, that is looked at only if `again` says so.
    pub(super) fn learn(&self, classes: &[(ClassId, String)], again: bool) {
        let (mut offer, all) = {
            let mut known = self.known.lock();
            let before = known.classes.len();
            for (class, text) in classes {
                let class = known.classes.entry(*class);
                class.or_insert_with(|| Needs::read(text));
            }
            if known.classes.len() == before && !again {
                return;
            }
            let all: Vec<Needs> = known.classes.values().flatten().cloned().collect();
            (known.offer.clone(), all)
        };
        let directories = all.iter().flat_map(|needs| needs.directories.clone());
        let addresses = all.iter().flat_map(|needs| needs.addresses.clone());
        // Nothing is locked while the system is asked.
        offer.look(directories.collect(), addresses.collect());
        let mut known = self.known.lock();
        let serves = |needs: &Option<Needs>| {
            let needs = needs.as_ref();
            needs.is_some_and(|needs| needs.missing(&offer).is_empty())
        };
        let served = known.classes.iter().filter(|(_, needs)| serves(needs));
        let served = served.map(|(class, _)| *class);
        known.served = std::iter::once(ClassId::ANY).chain(served).collect();
        known.offer = offer;
    }
}

/// Why no node can run tasks that need this; `None` where one can. `offers` are those of the nodes that
/// take tasks.
pub(super) fn unplaced(needs: &Needs, offers: &[&Offer]) -> Option<String> {
    if offers.is_empty() {
        return Some("there is no node".into());
    }
    let missing: Vec<Vec<String>> = offers.iter().map(|offer| needs.missing(offer)).collect();
    if missing.iter().any(Vec::is_empty) {
        return None;
    }
    let everywhere = |what: &&str| {
        let has = |missing: &Vec<String>| missing.iter().any(|missing| missing == what);
        missing.iter().all(has)
    };
    let of_first = missing.iter().take(1).flatten().map(String::as_str);
    let lacked: Vec<&str> = of_first.filter(everywhere).collect();
    if !lacked.is_empty() {
        return Some(format!("no node has {}", lacked.join(" or ")));
    }
    // Each is somewhere, and nowhere all of them.
    let all: BTreeSet<&str> = missing.iter().flatten().map(String::as_str).collect();
    let all: Vec<&str> = all.into_iter().collect();
    Some(format!("no node has all of this: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        let of = of.iter();
        of.map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    fn needs(of: &[(&str, &str)], directories: &[&str]) -> Needs {
        Needs {
            labels: labels(of),
            directories: directories.iter().map(ToString::to_string).collect(),
            ..Needs::default()
        }
    }

    #[test]
    fn a_node_serves_what_it_has() {
        let folder = tempfile::tempdir().expect("a directory");
        let place = |name: &str| folder.path().join(name).display().to_string();
        let placement = Placement::new(labels(&[("zone", "eu")]));
        let (late, there) = (place("late"), folder.path().display().to_string());
        let classes = [
            (ClassId(1), needs(&[("zone", "eu")], &[&there])),
            (ClassId(2), needs(&[("zone", "us")], &[])),
            (ClassId(3), needs(&[], &[&late])),
        ];
        let mut classes = classes
            .map(|(class, needs)| (class, needs.text().expect("needed")))
            .to_vec();
        classes.push((ClassId(4), r#"{"gpu":1}"#.into()));
        placement.learn(&classes, false);
        assert_eq!(placement.served(), [ClassId::ANY, ClassId(1)]);
        assert_eq!(placement.offer().missing_directories, [late.clone()].into());
        std::fs::create_dir(&late).expect("a directory");
        placement.learn(&classes, false);
        assert!(!placement.serves(ClassId(3)), "nothing is new");
        placement.learn(&classes, true);
        assert!(placement.serves(ClassId(3)));
        assert_eq!(placement.needs(ClassId(4)), None);
    }

    #[test]
    fn it_is_told_what_is_missing() {
        let eu = Offer::new(labels(&[("zone", "eu")]));
        let fast = Offer {
            missing_directories: ["/data".to_string()].into(),
            ..Offer::new(labels(&[("zone", "us"), ("disk", "ssd")]))
        };
        let told = |needs: Needs| unplaced(&needs, &[&eu, &fast]);
        assert_eq!(told(needs(&[("zone", "eu")], &["/data"])), None);
        assert_eq!(told(needs(&[("disk", "ssd")], &["/other"])), None);
        let asia = told(needs(&[("zone", "asia"), ("disk", "ssd")], &["/data"]));
        assert_eq!(asia.as_deref(), Some("no node has zone=asia"));
        let both = told(needs(&[("zone", "asia"), ("disk", "hdd")], &[]));
        assert_eq!(both.as_deref(), Some("no node has disk=hdd or zone=asia"));
        let apart = told(needs(&[("zone", "eu"), ("disk", "ssd")], &["/data"]));
        let expected = "no node has all of this: disk=ssd, the directory /data, zone=eu";
        assert_eq!(apart.as_deref(), Some(expected));
        let nobody = unplaced(&needs(&[], &[]), &[]);
        assert_eq!(nobody.as_deref(), Some("there is no node"));
    }
}
