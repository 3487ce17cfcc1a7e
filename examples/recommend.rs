//! Recommends five items to a user of a finished run.
//!
//!     cargo run --release --example recommend -- checkpoints/quickstart u1

use std::error::Error;
use std::path::Path;

use codistill::run::{Lists, OpenOptions, Run};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(root), Some(user)) = (arguments.next(), arguments.next()) else {
        return Err("give a run directory and the id of a user".into());
    };
    let run = Run::open(Path::new(&root), &OpenOptions { device: "cpu".into(), ..OpenOptions::default() })?;
    for entry in Lists::new(run)?.recommend(&user, 5)? {
        println!("{:.4}  {}  {}", entry.score, entry.item, entry.title);
    }
    Ok(())
}
