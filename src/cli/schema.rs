//! `schema`: what a file may hold, for editors.

use clap::Args;

use crate::error::{Code, Diagnostic, ExitStatus};
use crate::tenant::FILE_SCHEMA;

use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate schema                                            which files have one
  mtmigrate schema tenants.yaml > tenants.schema.json         and as the first line of tenants.yaml:
    # yaml-language-server: $schema=./tenants.schema.json

Exit status: 0 printed; 2 no file of this name has a schema";

/// Prints a JSON Schema of a file, so that an editor completes its keys and explains them.
///
/// Connects to nothing, and reads no file. Draft 2020-12. `validate` finds more than a schema can say.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SchemaArgs {
    /// The file [default: lists them]
    #[arg(value_name = "FILE")]
    file: Option<String>,
}

/// Every file that has a schema, with what it is.
const FILES: [(&str, &str, &str); 1] = [("tenants.yaml", "the fleet: servers, tenants, sources, waves", FILE_SCHEMA)];

/// Prints it, or which there are.
pub(super) fn run(args: &SchemaArgs, context: &Context) -> Outcome {
    let text = match &args.file {
        None => FILES.iter().map(|(name, what, _)| format!("{name}  {what}\n")).collect(),
        Some(wanted) => match FILES.iter().find(|(name, ..)| name == wanted) {
            Some((_, _, schema)) => (*schema).to_owned(),
            None => return Err(vec![unknown(wanted)]),
        },
    };
    context.console.data(&text).map_err(|one| vec![one])?;
    Ok(ExitStatus::Done)
}

fn unknown(wanted: &str) -> Diagnostic {
    let known: Vec<&str> = FILES.iter().map(|(name, ..)| *name).collect();
    Diagnostic::new(Code::USAGE, format!("there is no schema of `{wanted}`"))
        .state("nothing was touched")
        .hint(format!("there is one of {}", known.join(", ")))
}
