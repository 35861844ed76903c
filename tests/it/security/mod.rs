//! What strangers can put in a runner's way: texts that are SQL elsewhere, characters that a terminal obeys, files that
//! are none.

mod escapes;
mod files;
mod injection;
mod tenants_file;
