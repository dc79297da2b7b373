//! Votes of an organization, counted by the database and ordered here.

use mortise::raw::*;
use mortise::{c_str, handler, quoted, Call, Result};
use std::ffi::c_void;

struct Choice {
    name: String,
    votes: i64,
}

impl Choice {
    fn json(&self) -> String {
        format!("{{\"choice\":{},\"votes\":{}}}", quoted(&self.name), self.votes)
    }
}

fn read_choices(call: &Call) -> Result<Vec<Choice>> {
    let rows = call.query("vote_list", &[])?;
    let text = |row, column| rows.value(row, column).unwrap_or_default();
    Ok((0..rows.len())
        .map(|row| Choice {
            name: text(row, "choice").to_owned(),
            votes: text(row, "votes").parse().expect("votes are a number"),
        })
        .collect())
}

/// The body's members bind by name: nothing is passed here.
fn on_vote(call: &Call) -> Result<()> {
    let rows = call.query("vote_add", &[])?;
    call.respond(201, rows.json(0)?)
}

fn on_result(call: &Call) -> Result<()> {
    let choices = read_choices(call)?;
    let total: i64 = choices.iter().map(|choice| choice.votes).sum();
    let list: Vec<String> = choices.iter().map(Choice::json).collect();
    call.respond(200, &format!("{{\"total\":{},\"choices\":[{}]}}", total, list.join(",")))
}

fn on_place(call: &Call) -> Result<()> {
    let place: usize = call.param("place").and_then(|place| place.parse().ok()).unwrap_or_default();
    let choices = read_choices(call)?;
    match place.checked_sub(1).and_then(|at| choices.get(at)) {
        Some(choice) => call.respond(200, &choice.json()),
        None => Err(call.problem(404, "not_found", "Nobody is at this place.")),
    }
}

unsafe extern "C" fn load(_: *mut c_void, host: *const mt_host) -> mt_status {
    mt_bind(host);
    MT_OK
}

static HANDLERS: [mt_handler_entry; 3] = [handler!("on_vote", on_vote), handler!("on_result", on_result), handler!("on_place", on_place)];

#[no_mangle]
pub static rust_tally_plugin: mt_plugin = mt_plugin {
    slug: c_str!("rust_tally"),
    version: c_str!("0.1.0"),
    load: Some(load),
    handlers: HANDLERS.as_ptr(),
    n_handlers: HANDLERS.len() as u32,
    ..MT_PLUGIN
};
