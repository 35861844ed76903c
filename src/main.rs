//! The `mtmigrate` binary: parse, run, exit status.

fn main() -> std::process::ExitCode {
    mtmigrate::cli::main()
}
