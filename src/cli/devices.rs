//! `codistill devices`

use super::{Exit, Failure, Terminal};
use codistill::device;
use codistill::table::listing;

pub fn run(terminal: &Terminal) -> Result<Exit, Failure> {
    let found = device::list();
    if terminal.json {
        let rows: Vec<_> = found
            .iter()
            .map(|f| serde_json::json!({"flag": f.flag, "name": f.name, "software": f.software}))
            .collect();
        terminal.data_json(&rows)?;
        return Ok(Exit::Done);
    }
    terminal.table(&listing(8, found.iter().map(|f| (&f.flag, &f.name))))?;
    if found.len() == 1 {
        let why = if device::WITH_GPU { "no GPU driver was found" } else { "built without `wgpu`" };
        terminal.say(format!("no other device: {why}"));
    }
    Ok(Exit::Done)
}
