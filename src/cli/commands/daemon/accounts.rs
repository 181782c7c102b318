//! `dormouse token`, `tenant` and `audit-log`: who may ask a daemon, for what, and who did.

use serde_json::json;
use ureq::http::Method;

use crate::cli::args::daemon::{
    AuditLog, RuleFlags, TenantArgs, TenantCommand, TokenArgs, TokenCommand,
};
use crate::cli::client::{Client, escaped};
use crate::cli::exit::{Done, Failure, OK};
use crate::cli::output::{self, out, say};
use crate::daemon::http::wire::{AuditEntry, NewTenant, NewToken, Tenant, TenantRules, Token};

pub(super) fn token(command: &TokenArgs) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    match &command.command {
        TokenCommand::Create { role, tenant, name } => {
            let new = NewToken {
                name: name.clone(),
                role: role.to_string(),
                tenant: tenant.clone(),
            };
            let made: Token = client.json(Method::POST, "/v1/tokens", Some(&new))?;
            if output::as_json() {
                output::result(&made);
                return OK;
            }
            say!("keep it well: it is shown once");
            out!("{}", made.token.unwrap_or_default());
            OK
        }
        TokenCommand::Ls => {
            let all: Vec<Token> = client.get("/v1/tokens")?;
            if output::as_json() {
                output::result(&all);
                return OK;
            }
            out!("{:<20} {:<9} {:<20} CREATED", "NAME", "ROLE", "TENANT");
            for token in all {
                let Token {
                    name,
                    role,
                    tenant,
                    created,
                    ..
                } = token;
                out!("{name:<20} {role:<9} {tenant:<20} {created}");
            }
            OK
        }
        TokenCommand::Revoke { name } => {
            remove(&client, &format!("/v1/tokens/{}", escaped(name)), name)
        }
    }
}

pub(super) fn tenant(command: &TenantArgs) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    match &command.command {
        TenantCommand::Create { rules, name } => {
            let new = NewTenant {
                name: name.clone(),
                rules: changed(TenantRules::default(), rules),
            };
            let made: Tenant = client.json(Method::POST, "/v1/tenants", Some(&new))?;
            show(&made);
            OK
        }
        TenantCommand::Set { rules, name } => {
            let path = format!("/v1/tenants/{}", escaped(name));
            let before: Tenant = client.get(&path)?;
            let rules = changed(before.rules, rules);
            let tenant: Tenant = client.json(Method::PUT, &path, Some(&rules))?;
            show(&tenant);
            OK
        }
        TenantCommand::Ls => {
            let all: Vec<Tenant> = client.get("/v1/tenants")?;
            match output::as_json() {
                true => output::result(&all),
                false => all.iter().for_each(show),
            }
            OK
        }
        TenantCommand::Rm { name } => {
            remove(&client, &format!("/v1/tenants/{}", escaped(name)), name)
        }
    }
}

pub(super) fn audit_log(command: &AuditLog) -> Result<Done, Failure> {
    let client = Client::new(&command.remote)?;
    let mut path = format!("/v1/audit?limit={}", command.limit);
    if let Some(token) = &command.token {
        path += &format!("&token={}", escaped(token));
    }
    if let Some(tenant) = &command.remote.tenant {
        path += &format!("&tenant={}", escaped(tenant));
    }
    let entries: Vec<AuditEntry> = client.get(&path)?;
    if output::as_json() {
        output::result(&entries);
        return OK;
    }
    for entry in entries {
        let who = entry.token.as_deref().unwrap_or("-");
        let tenant = entry.tenant.as_deref().unwrap_or("-");
        let from = entry.from.as_deref().unwrap_or("-");
        let on = entry.on.map_or_else(String::new, |on| format!(" {on}"));
        let added: Vec<String> = entry.added.iter().map(ToString::to_string).collect();
        let added = match added.is_empty() {
            true => String::new(),
            false => format!(" added {}", added.join(",")),
        };
        let (time, status, action) = (entry.time, entry.status, entry.action);
        out!("{time} {status} {who} {tenant} {from} {action}{on}{added}");
    }
    OK
}

fn remove(client: &Client, path: &str, name: &str) -> Result<Done, Failure> {
    client.send(Method::DELETE, path, "application/json", Vec::new())?;
    if output::as_json() {
        output::result(&json!({ "name": name, "removed": true }));
    }
    OK
}

/// Rules with what flags say.
fn changed(before: TenantRules, flags: &RuleFlags) -> TenantRules {
    let mut rules = match flags.clear {
        true => TenantRules::default(),
        false => before,
    };
    rules.tasks = flags.max_tasks.or(rules.tasks);
    rules.bytes = flags.max_bytes.map(|size| size.0).or(rules.bytes);
    rules.output = flags.max_output.map(|size| size.0).or(rules.output);
    rules.limits.extend(flags.limits.iter().copied());
    for (list, more) in [
        (&mut rules.dirs, &flags.dirs),
        (&mut rules.listen, &flags.listen),
        (&mut rules.connect, &flags.connect),
    ] {
        for one in more {
            if !list.contains(one) {
                list.push(one.clone());
            }
        }
    }
    rules
}

fn show(tenant: &Tenant) {
    if output::as_json() {
        output::result(tenant);
        return;
    }
    let (rules, used) = (&tenant.rules, tenant.used);
    let of = |most: Option<u64>| most.map_or_else(String::new, |most| format!(" of {most}"));
    out!("tenant       {}", tenant.name);
    out!("tasks        {}{}", used.tasks, of(rules.tasks));
    out!("bytes        {}{}", used.bytes, of(rules.bytes));
    out!("output       {}{}", used.output, of(rules.output));
    for limit in rules.limits.iter() {
        out!("limit        {limit}");
    }
    for dir in &rules.dirs {
        out!("may use      {dir}");
    }
    for address in &rules.listen {
        out!("may listen   {address}");
    }
    for address in &rules.connect {
        out!("may connect  {address}");
    }
}
