//! `codistill devices`

use super::{Exit, Failure, Terminal};
use crate::device;

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
    let rows: String = found.iter().map(|f| format!("{:<8} {}\n", f.flag, f.name)).collect();
    terminal.table(&rows)?;
    if found.len() == 1 {
        let why = if cfg!(feature = "wgpu") { "no GPU driver was found" } else { "built without `wgpu`" };
        terminal.say(format!("no other device: {why}"));
    }
    Ok(Exit::Done)
}
