//! Mortise plugins in Rust: the whole ABI as it is (`raw`, generated), and a layer over what handlers use most that is safe to call and that no
//! panic passes. Compile it once as an rlib, and the plugin as a cdylib over it: see `sdk/examples/rust`.
//!
//! A `Call` is good for the handler that was given it: it holds a fiber's stack and may not leave its thread. What it answers borrows from it.

pub mod raw;

use raw::*;
use std::fmt::Write;
use std::os::raw::c_char;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// The status of what failed; its problem is set already.
pub type Result<T> = std::result::Result<T, mt_status>;

pub struct Call {
    c: *mut mt_call,
}

fn slice(text: &str) -> mt_slice {
    mt_slice { p: text.as_ptr() as *const c_char, len: text.len() }
}

/// A slice of the host, for as long as `_owner` is borrowed. Not UTF-8, or null: None.
unsafe fn text<T>(_owner: &T, s: mt_slice) -> Option<&str> {
    if s.p.is_null() {
        return None;
    }
    std::str::from_utf8(std::slice::from_raw_parts(s.p as *const u8, s.len)).ok()
}

fn done(status: mt_status) -> Result<()> {
    if status == MT_OK {
        Ok(())
    } else {
        Err(status)
    }
}

impl Call {
    /// For what has no method here: `raw`.
    pub fn raw(&self) -> *mut mt_call {
        self.c
    }

    /// A path or query parameter, or a member of the body.
    pub fn param(&self, name: &str) -> Option<&str> {
        unsafe { text(self, mt_param(self.c, slice(name))) }
    }

    /// The body, or a job's payload.
    pub fn body(&self) -> Option<&str> {
        unsafe { text(self, mt_body(self.c)) }
    }

    /// A value of the plugin's configuration by JSON pointer.
    pub fn config(&self, pointer: &str) -> Option<&str> {
        unsafe { text(self, mt_config(self.c, slice(pointer))) }
    }

    pub fn respond(&self, status: i32, json: &str) -> Result<()> {
        done(unsafe { mt_respond(self.c, status, slice(json)) })
    }

    /// Sets the problem; `return Err(call.problem(…))`.
    pub fn problem(&self, status: i32, code: &str, detail: &str) -> mt_status {
        unsafe { mt_problem(self.c, status, slice(code), slice(detail), MT_NULL) }
    }

    /// Whether the client left, the deadline passed or the host stops: let go and return MT_CANCELLED.
    pub fn cancelled(&self) -> bool {
        unsafe { mt_cancelled(self.c) }
    }

    /// Suspends.
    pub fn sleep(&self, ms: i64) -> Result<()> {
        done(unsafe { mt_sleep(self.c, ms) })
    }

    /// Runs a query of queries.sql. Values of the request bind by name, after these. Suspends.
    pub fn query(&self, name: &str, args: &[(&str, &str)]) -> Result<Rows<'_>> {
        let args: Vec<mt_field> = args.iter().map(|(name, value)| mt_field { name: slice(name), value: slice(value) }).collect();
        let mut rows = Rows { call: self, result: 0 };
        done(unsafe { mt_db_query(self.c, slice(name), args.as_ptr(), args.len(), &mut rows.result) })?;
        Ok(rows)
    }
}

/// The rows of a query, freed when they go out of scope.
pub struct Rows<'a> {
    call: &'a Call,
    result: mt_handle,
}

impl Rows<'_> {
    pub fn len(&self) -> u32 {
        unsafe { mt_db_rows(self.call.c, self.result) }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn value(&self, row: u32, column: &str) -> Option<&str> {
        unsafe { text(self, mt_db_value(self.call.c, self.result, row, slice(column))) }
    }

    /// A row as a JSON object.
    pub fn json(&self, row: u32) -> Result<&str> {
        let mut json = MT_NULL;
        done(unsafe { mt_db_json(self.call.c, self.result, row, &mut json) })?;
        unsafe { text(self, json) }.ok_or(MT_INTERNAL)
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        unsafe { mt_db_free(self.call.c, self.result) };
    }
}

/// A text as JSON, with its quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for ch in text.chars() {
        match ch {
            '"' | '\\' => out.extend(['\\', ch]),
            ch if ch < ' ' => write!(out, "\\u{:04x}", ch as u32).expect("a String grows"),
            ch => out.push(ch),
        }
    }
    out.push('"');
    out
}

/// Runs a handler. A panic ends here, as 500: it may unwind this fiber's stack, never the host's. Its words are on the server's standard error.
pub fn guard(c: *mut mt_call, f: impl FnOnce(&Call) -> Result<()>) -> mt_status {
    let call = Call { c };
    match catch_unwind(AssertUnwindSafe(|| f(&call))) {
        Ok(Ok(())) => MT_OK,
        Ok(Err(status)) => status,
        Err(_) => call.problem(500, "plugin_panicked", "The plugin failed; the server's log says where."),
    }
}

/// `fn on_x(call: &Call) -> Result<()>` as an entry of the table: `handler!("on_x", on_x)`.
#[macro_export]
macro_rules! handler {
    ($name:literal, $f:path) => {{
        unsafe extern "C" fn run(_: *mut core::ffi::c_void, c: *mut $crate::raw::mt_call) -> $crate::raw::mt_status {
            $crate::guard(c, $f)
        }
        $crate::raw::mt_handler_entry { name: $crate::c_str!($name), run: Some(run) }
    }};
}

/// A literal as C reads it.
#[macro_export]
macro_rules! c_str {
    ($text:literal) => {
        concat!($text, "\0").as_ptr() as *const std::os::raw::c_char
    };
}
