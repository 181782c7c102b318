//! Tokens and tenants, in every store.

use super::fixtures::{Place, at, digest, new_task, store};
use crate::accounts::{AccountChange, TokenRow, Usage};
use crate::change::{Change, Insert, Verdict};
use crate::model::{Role, TaskId, TaskState, TenantId, Timestamp};
use crate::nodes::Nodes;
use crate::store::Filter;

fn token(name: &str, tenant: TenantId, role: Role) -> TokenRow {
    TokenRow {
        name: name.into(),
        digest: *digest(name).as_bytes(),
        tenant,
        role,
        created: Timestamp::from_nanos(7),
    }
}

fn add_tenant(store: &dyn Nodes, name: &str) -> Verdict {
    let (name, details) = (name.into(), b"details".to_vec());
    let change = AccountChange::AddTenant { name, details };
    store.change_account(&change).expect("it is stored")
}

fn number_of(store: &dyn Nodes, name: &str) -> Option<TenantId> {
    let tenants = store.tenants().expect("reads");
    let found = tenants.into_iter().find(|tenant| tenant.name == name);
    found.map(|tenant| tenant.id)
}

pub(crate) fn tokens_are_found_by_their_digests_until_they_are_removed(place: &dyn Place) {
    let first = token("ci", TenantId::DEFAULT, Role::Submit);
    {
        let store = place.open();
        let change = |change| store.change_account(&change).expect("it is stored");
        let add = |row: &TokenRow| change(AccountChange::AddToken(row.clone()));
        assert_eq!(add(&first), Verdict::Done);
        let same_name = TokenRow {
            digest: *digest("another").as_bytes(),
            ..first.clone()
        };
        assert_eq!(add(&same_name), Verdict::NameTaken);
        let same_digest = TokenRow {
            name: "cd".into(),
            ..first.clone()
        };
        assert_eq!(add(&same_digest), Verdict::NameTaken);
        let nobodys = token("x", TenantId(77), Role::Read);
        assert_eq!(add(&nobodys), Verdict::Conflict);
        assert_eq!(
            add(&token("boss", TenantId::DEFAULT, Role::Admin)),
            Verdict::Done
        );
    }
    let store = place.open();
    let change = |change| store.change_account(&change).expect("it is stored");
    assert_eq!(
        store.token(&first.digest).expect("reads"),
        Some(first.clone())
    );
    let names: Vec<_> = store.tokens().expect("reads");
    let names: Vec<_> = names.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["boss", "ci"]);
    assert_eq!(
        change(AccountChange::RemoveToken("ci".into())),
        Verdict::Done
    );
    let again = change(AccountChange::RemoveToken("ci".into()));
    assert_eq!(again, Verdict::Conflict);
    assert_eq!(store.token(&first.digest).expect("reads"), None);
}

pub(crate) fn a_tenants_number_is_never_anothers(place: &dyn Place) {
    let store = place.open();
    let store = store.as_ref();
    let remove = |name: &str| {
        let change = AccountChange::RemoveTenant(name.into());
        store.change_account(&change).expect("it is stored")
    };
    assert_eq!(number_of(store, "default"), Some(TenantId::DEFAULT));
    assert_eq!(remove("default"), Verdict::Conflict);
    assert_eq!(add_tenant(store, "a"), Verdict::Done);
    assert_eq!(add_tenant(store, "a"), Verdict::NameTaken);
    let first = number_of(store, "a").expect("it is there");
    assert!(first > TenantId::DEFAULT);
    let row = token("ci", first, Role::Read);
    let added = store.change_account(&AccountChange::AddToken(row));
    assert_eq!(added.expect("it is stored"), Verdict::Done);
    assert_eq!(remove("a"), Verdict::Conflict, "it has a token");
    let removed = store.change_account(&AccountChange::RemoveToken("ci".into()));
    assert_eq!(removed.expect("it is stored"), Verdict::Done);
    assert_eq!(remove("a"), Verdict::Done);
    assert_eq!(remove("a"), Verdict::Conflict);
    assert_eq!(add_tenant(store, "a"), Verdict::Done);
    assert!(number_of(store, "a") > Some(first));
    let change = AccountChange::SetTenant {
        name: "a".into(),
        details: b"others".to_vec(),
    };
    assert_eq!(
        store.change_account(&change).expect("it is stored"),
        Verdict::Done
    );
    let tenants = store.tenants().expect("reads");
    assert_eq!(
        tenants.last().map(|tenant| &tenant.details[..]),
        Some(&b"others"[..])
    );
}

pub(crate) fn names_and_lists_are_a_tenants_own(place: &dyn Place) {
    let (store, lease) = store(place);
    assert_eq!(add_tenant(store.as_ref(), "a"), Verdict::Done);
    let a = number_of(store.as_ref(), "a").expect("it is there");
    let task = |id, tenant, state| {
        Change::Insert(Insert {
            tenant,
            state,
            ..new_task(id, None, Some("x"))
        })
    };
    let ready = TaskState::Ready;
    let batch = [
        task(1, TenantId::DEFAULT, ready),
        task(2, a, TaskState::Moved),
        task(3, a, ready),
        task(4, a, ready),
    ];
    let verdicts = store.commit(&lease, &at(2), &batch).expect("commits");
    let done = Verdict::Done;
    assert_eq!(verdicts, [done, done, done, Verdict::NameTaken]);
    let named = |tenant| store.named(tenant, "x").expect("reads");
    assert_eq!(
        (named(TenantId::DEFAULT), named(a)),
        (Some(TaskId(1)), Some(TaskId(3)))
    );
    let listed = |tenant| {
        let filter = Filter {
            tenant,
            limit: 9,
            ..Filter::default()
        };
        let rows = store.list(&filter).expect("reads").into_iter();
        rows.map(|row| (row.id.0, row.tenant)).collect::<Vec<_>>()
    };
    let default = TenantId::DEFAULT;
    assert_eq!(listed(None), [(3, a), (2, a), (1, default)]);
    assert_eq!(listed(Some(a)), [(3, a), (2, a)]);
    assert_eq!(listed(Some(default)), [(1, default)]);
    let each = (b"spec".len() + b"status".len()) as u64;
    let usage = Usage {
        tasks: 2,
        bytes: 2 * each,
        output: 0,
    };
    assert_eq!(store.usage(a).expect("reads"), usage);
    let remove = AccountChange::RemoveTenant("a".into());
    let removed = store.change_account(&remove).expect("it is stored");
    assert_eq!(removed, Verdict::Conflict, "it has tasks");
}
