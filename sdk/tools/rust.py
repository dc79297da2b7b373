"""sdk/rust/raw.rs: the C headers for Rust, as catalogue.py generates them. tests/abi holds its layouts against the headers' own."""
import pathlib
import re

HEADERS = pathlib.Path(__file__).resolve().parents[1] / "include" / "mortise"
SCALARS = {"bool": "bool", "i32": "i32", "i64": "i64", "u32": "u32", "u64": "u64", "f64": "f64",
           "slice": "mt_slice", "bytes": "mt_slice", "json": "mt_slice", "handle": "mt_handle"}
ARRAYS = {"fields": "mt_field", "slices": "mt_slice", "f32s": "f32"}
SPECIAL = {"ptr": "*mut c_void", "struct*": "*mut c_void", "patch": "*mut mt_patch", "work": "Option<unsafe extern \"C\" fn(arg: *mut c_void)>"}
RETURNS = {"status": ("mt_status", "MT_DENIED"), "outcome": ("mt_outcome", "MT_ERROR"), "slice": ("mt_slice", "MT_NULL"),
           "bool": ("bool", "false"), "u32": ("u32", "0"), "i64": ("i64", "0"), "f64": ("f64", "0.0")}
KEYWORDS = {"as", "box", "fn", "final", "in", "loop", "match", "mod", "move", "ref", "self", "type", "use", "where", "yield"}

PRELUDE = '''#![allow(non_camel_case_types, clippy::too_many_arguments, clippy::missing_safety_doc)]
//! The plugin ABI as it is: what each function does and promises stands in `mortise/interfaces.h` and in the reference.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::os::raw::{c_char, c_int};

/// Bytes that someone else owns. `p` may be null: SQL's and JSON's null.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mt_slice {
    pub p: *const c_char,
    pub len: usize,
}

pub const MT_NULL: mt_slice = mt_slice { p: core::ptr::null(), len: 0 };

pub type mt_handle = u64;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mt_field {
    pub name: mt_slice,
    pub value: mt_slice,
}

/// Opaque; on the stack of one fiber, so neither Send nor Sync.
#[repr(C)]
pub struct mt_call {
    _opaque: [u8; 0],
    _here: PhantomData<*mut u8>,
}

#[repr(C)]
pub struct mt_patch {
    _opaque: [u8; 0],
    _here: PhantomData<*mut u8>,
}

pub type mt_handler_fn = unsafe extern "C" fn(this: *mut c_void, c: *mut mt_call) -> mt_status;
pub type mt_hook_fn = unsafe extern "C" fn(this: *mut c_void, c: *mut mt_call, payload: *const c_void, out: *mut mt_patch) -> mt_outcome;

#[repr(C)]
pub struct mt_handler_entry {
    pub name: *const c_char,
    pub run: Option<mt_handler_fn>,
}

#[repr(C)]
pub struct mt_hook_entry {
    pub name: *const c_char,
    pub run: Option<mt_hook_fn>,
}

#[repr(C)]
pub struct mt_service_entry {
    pub id: *const c_char,
    pub table: *const c_void,
}

#[repr(C)]
pub struct mt_host {
    pub size: u32,
    pub abi: u32,
    pub ctx: *mut c_void,
    pub get: Option<unsafe extern "C" fn(ctx: *mut c_void, id: mt_slice) -> *const c_void>,
    pub log: Option<unsafe extern "C" fn(ctx: *mut c_void, level: c_int, event: mt_slice, fields: *const mt_field, n: usize)>,
    pub alloc: Option<unsafe extern "C" fn(c: *mut mt_call, bytes: usize) -> *mut c_void>,
    pub clock_us: Option<unsafe extern "C" fn() -> i64>,
    pub dir: *const c_char,
}

#[repr(C)]
pub struct mt_plugin {
    pub abi: u32,
    pub size: u32,
    pub slug: *const c_char,
    pub version: *const c_char,
    pub create: Option<unsafe extern "C" fn(this: *mut *mut c_void) -> mt_status>,
    pub load: Option<unsafe extern "C" fn(this: *mut c_void, host: *const mt_host) -> mt_status>,
    pub activate: Option<unsafe extern "C" fn(this: *mut c_void, c: *mut mt_call) -> mt_status>,
    pub deactivate: Option<unsafe extern "C" fn(this: *mut c_void, c: *mut mt_call)>,
    pub unload: Option<unsafe extern "C" fn(this: *mut c_void)>,
    pub handlers: *const mt_handler_entry,
    pub n_handlers: u32,
    pub hooks: *const mt_hook_entry,
    pub n_hooks: u32,
    pub services: *const mt_service_entry,
    pub n_services: u32,
    pub hand_over: Option<unsafe extern "C" fn(this: *mut c_void, c: *mut mt_call, state: *mut mt_slice) -> mt_status>,
    pub take_over: Option<unsafe extern "C" fn(this: *mut c_void, c: *mut mt_call, from: mt_slice, state: mt_slice) -> mt_status>,
}

// What a plugin exports is constant.
unsafe impl Sync for mt_plugin {}
unsafe impl Sync for mt_handler_entry {}
unsafe impl Sync for mt_hook_entry {}
unsafe impl Sync for mt_service_entry {}

/// An entry table without anything: `mt_plugin { slug: …, ..MT_PLUGIN }`.
pub const MT_PLUGIN: mt_plugin = mt_plugin {
    abi: MT_ABI,
    size: core::mem::size_of::<mt_plugin>() as u32,
    slug: core::ptr::null(),
    version: core::ptr::null(),
    create: None,
    load: None,
    activate: None,
    deactivate: None,
    unload: None,
    handlers: core::ptr::null(),
    n_handlers: 0,
    hooks: core::ptr::null(),
    n_hooks: 0,
    services: core::ptr::null(),
    n_services: 0,
    hand_over: None,
    take_over: None,
};

static HOST: AtomicPtr<mt_host> = AtomicPtr::new(null_mut());

/// What mt_bind was given; null before.
pub fn mt_host() -> *const mt_host {
    HOST.load(Ordering::Relaxed)
}

unsafe fn table<T>(of: &AtomicPtr<T>) -> Option<&T> {
    of.load(Ordering::Relaxed).as_ref()
}'''


def enums():
    """name → {constant: number}, as the headers say."""
    found = {}
    for name in ("types.h", "plugin.h"):
        text = (HEADERS / name).read_text()
        for body, enum in re.findall(r"typedef enum \w+ \{(.*?)\} (\w+);", text, re.S):
            found[enum] = {k: int(v) for k, v in re.findall(r"(MT_\w+) = (\d+)", body)}
    return found


def abi():
    return int(re.search(r"#define MT_ABI (\d+)", (HEADERS / "plugin.h").read_text())[1])


def word(name):
    return name + "_" if name in KEYWORDS else name


def rust_type(i, kind):
    base, out = kind.rstrip("*"), kind.endswith("*")
    if kind in SPECIAL:
        return SPECIAL[kind]
    if base in SCALARS:
        return ("*mut " if out else "") + SCALARS[base]
    return ("*mut " if out else "*const ") + i.prefix + base


def parameters(f):
    out = []
    for name, kind in f.parameters:
        base, answer = kind.rstrip("*"), "*mut " if kind.endswith("*") else ""
        if base in ARRAYS:
            out += [(word(name), f"{answer}*const {ARRAYS[base]}"), (f"n_{name}", f"{answer}usize")]
        else:
            out.append((word(name), rust_type(f.interface, kind)))
    return out


def asked(f):
    provider = [("provider", "mt_slice")] if f.interface.addressed else []
    return ([] if f.any_thread else [("c", "*mut mt_call")]) + provider + parameters(f)


def listed(pairs):
    return ", ".join(f"{name}: {kind}" for name, kind in pairs)


def struct(name, members, derive=True):
    return (["#[repr(C)]"] + (["#[derive(Clone, Copy)]"] if derive else []) + [f"pub struct {name} {{", "    pub size: u32,"]
            + [f"    pub {word(m)}: {kind}," for m, kind in members] + ["}", ""])


def table(i, provider):
    out = ["#[repr(C)]", f"pub struct {i.table}{'_provider' if provider else ''} {{", "    pub size: u32,", "    pub version: u32,"]
    for f in i.functions:
        given = [("this", "*mut c_void"), ("c", "*mut mt_call")] + parameters(f) if provider else asked(f)
        out.append(f"    pub {word(f.name)}: Option<unsafe extern \"C\" fn({listed(given)}) -> {RETURNS[f.returns][0]}>,")
    return out + ["}", ""]


def wrapper(f):
    i, (kind, null) = f.interface, RETURNS[f.returns]
    later = f" if t.size as usize >= end_of!(t, {word(f.name)})" if f.later else ""
    arguments = ", ".join(name for name, _ in asked(f))
    return ["#[inline]", f"pub unsafe fn {i.prefix}{f.name}({listed(asked(f))}) -> {kind} {{",
            f"    match table(&{i.table.upper()}) {{",
            f"        Some(t){later} => t.{word(f.name)}.map_or({null}, |call| call({arguments})),",
            *([f"        Some(_) => {'MT_UNSUPPORTED' if f.returns == 'status' else null},"] if later else []), f"        None => {null},", "    }", "}", ""]


def raw_rs(interfaces, hooks, banner, hook_struct):
    out = [f"// {banner}", *PRELUDE.split("\n"), ""]
    if any(f.later for i in interfaces for f in i.functions):
        out += ["/// Where a member of an older, shorter table would end.", "macro_rules! end_of {", "    ($t:expr, $m:ident) => {",
                "        core::ptr::addr_of!($t.$m) as usize + core::mem::size_of::<usize>() - $t as *const _ as usize", "    };", "}", ""]
    out += [f"pub const MT_ABI: u32 = {abi()};", ""]
    for name, values in enums().items():
        out += ["/// Numbers are only ever added: a host may answer one that is not here.", "#[repr(transparent)]",
                "#[derive(Clone, Copy, PartialEq, Eq, Debug)]", f"pub struct {name}(pub u32);", ""]
        out += [f"pub const {k}: {name} = {name}({v});" for k, v in values.items()] + [""]
    for i in interfaces:
        out += [f"// --- {i.id} ---", ""]
        for name, members in i.structs.items():
            out += struct(i.prefix + name, [(m, SCALARS[kind]) for m, kind in members.items()])
        out += table(i, False) + (table(i, True) if i.kind == "service" else [])
        if i.kind == "service":
            out += [f"unsafe impl Sync for {i.table}_provider {{}}", ""]
        out += [f"static {i.table.upper()}: AtomicPtr<{i.table}> = AtomicPtr::new(null_mut());", ""]
        for f in i.functions:
            out += wrapper(f)
    out += ["// --- hooks ---", ""]
    for h in hooks:
        out += struct(hook_struct(h), [(name, SCALARS[kind]) for name, kind, *_ in h["fields"]])
    out += ["/// Fetches every interface that the manifest was granted; call it first in load().", "pub unsafe fn mt_bind(host: *const mt_host) {",
            "    HOST.store(host as *mut _, Ordering::Relaxed);", "    let get = |id: &str| match (*host).get {",
            "        Some(get) => get((*host).ctx, mt_slice { p: id.as_ptr() as *const c_char, len: id.len() }) as *mut c_void,",
            "        None => null_mut(),", "    };"]
    out += [f'    {i.table.upper()}.store(get("{i.id}") as *mut _, Ordering::Relaxed);' for i in interfaces]
    return out + ["}"]
