//! Which options can act on what is encoded, and what was found out instead of asked for.

use super::{EncodeArgs, Failure, Kind, What, When};
use crate::encode::{Encoder, Engine, Recipe, found_out};

/// Refuses options that can't act on this modality and kind of encoder.
pub fn check(args: &EncodeArgs) -> Result<(), Failure> {
    let image = [
        ("--preprocess", args.preprocess.is_some(), "--max-tokens bounds what is read of a text"),
        ("--side", args.side.is_some(), "--max-tokens bounds what is read of a text"),
        ("--max-file", args.max_file.is_some(), "--max-tokens bounds what is read of a text"),
        ("--max-pixels", args.max_pixels.is_some(), "--max-tokens bounds what is read of a text"),
        ("--pictures", args.pictures.is_some(), "--field says which texts are read"),
        ("--shared-pictures", args.shared_pictures.is_some(), "identical texts are told of in any case"),
    ];
    let text = [
        (
            "--max-tokens",
            args.max_tokens.is_some(),
            "--max-pixels and --side bound what is read of a picture",
        ),
        ("--field", args.field.is_some(), "--pictures says where the pictures lie"),
        ("--tokenizer", args.tokenizer.is_some(), "--preprocess says how pictures are read"),
        ("--prompt", args.prompt.is_some(), "--preprocess says how pictures are read"),
    ];
    match args.modality {
        What::Text => refuse(&image, "it is about pictures, and texts are encoded")?,
        What::Image => refuse(&text, "it is about texts, and pictures are encoded")?,
    }
    let name = args.encoder.as_deref().unwrap_or("tfidf");
    let on_device = !matches!(args.device.as_str(), "auto" | "cpu");
    if name == "tfidf" || name.starts_with("tfidf:") {
        let width = "--encoder tfidf:WIDTH is all that can be chosen";
        return refuse(
            &[
                ("--norm", args.norm.is_some(), width),
                ("--pool", args.pool.is_some(), width),
                ("--unit", args.unit.is_some(), width),
                ("--max-tokens", args.max_tokens.is_some(), width),
                ("--tokenizer", args.tokenizer.is_some(), width),
                ("--prompt", args.prompt.is_some(), width),
                ("--onnx-output", args.onnx_output.is_some(), width),
                ("--device", on_device, "leave it out, or give cpu"),
            ],
            "TF-IDF counts words, on the CPU",
        );
    }
    if std::path::Path::new(name).extension().is_some_and(|end| end == "onnx") {
        let cpu = "leave it out, or give cpu";
        refuse(&[("--device", on_device, cpu)], "ONNX files run on the CPU")?;
    } else {
        let layer = "--layer and --output choose what a folder's model gives";
        refuse(&[("--onnx-output", args.onnx_output.is_some(), layer)], "the encoder is no .onnx file")?;
    }
    let tokens = args.output.map_or(args.preset.is_some(), |kind| matches!(kind, Kind::Tokens));
    if tokens {
        let pooled = "--output pooled makes one vector an item";
        refuse(
            &[("--pool", args.pool.is_some(), pooled), ("--unit", args.unit.is_some(), pooled)],
            "the states of all tokens are stored",
        )?;
    }
    Ok(())
}

/// Refuses options that the opened encoder did not follow.
pub fn check_recipe(args: &EncodeArgs, recipe: &Recipe) -> Result<(), Failure> {
    if let (Some(asked), Some(most)) = (args.max_tokens, recipe.max_tokens)
        && most < asked
    {
        let hint = format!("--max-tokens {most} is the most");
        return refuse(&[("--max-tokens", true, &hint)], &format!("the model reads {most} tokens"));
    }
    if let (Some(asked), Some(found)) = (args.side, &recipe.preprocessing)
        && found.side != asked
    {
        let reason = format!("the preprocessing's own file asks for {} pixels", found.side);
        return refuse(&[("--side", true, "name a preprocessing with --preprocess")], &reason);
    }
    if let (Some(When::After), false) = (args.norm, recipe.output.final_norm) {
        return refuse(&[("--norm after", true, "leave it out")], "the model has no final norm");
    }
    Ok(())
}

/// Refuses the first option that was given.
fn refuse(options: &[(&str, bool, &str)], reason: &str) -> Result<(), Failure> {
    match options.iter().find(|(_, given, _)| *given) {
        None => Ok(()),
        Some((option, _, hint)) => Err(Failure::user(format!("{option} has no effect: {reason}"), *hint)),
    }
}

/// The encoder with its settings, and which of them nobody asked for.
pub fn described(args: &EncodeArgs, encoder: &Encoder) -> String {
    let (recipe, settings) = (encoder.recipe(), encoder.settings());
    let named = if args.encoder.is_none() { " (the default)" } else { "" };
    let mut parts = vec![format!("encoder {}{named}", encoder.name())];
    if matches!(recipe.engine, Engine::Native(_)) {
        let norm = if recipe.output.final_norm { "behind" } else { "before" };
        parts.push(format!("layer {} {norm} the final norm", recipe.output.layer));
    }
    parts.extend(Some(recipe.told()).filter(|told| !told.is_empty()));
    let found = found_out(settings, recipe);
    if !found.is_empty() {
        parts.push(format!("found out and not asked for: {}", found.join(", ")));
    }
    parts.join("; ")
}
