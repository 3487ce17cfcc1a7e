//! Which options can act on what is encoded.

use super::super::Failure;
use super::args::{EncodeArgs, Kind, What, When};
use codistill::encode::Recipe;

/// An option, whether it was given, and what to use instead.
type Given<'a> = (&'static str, bool, &'a str);

/// Refuses options that can't act on this modality and kind of encoder.
pub fn check(args: &EncodeArgs) -> Result<(), Failure> {
    match args.modality {
        What::Text => refuse(&picture_options(args), "it is about pictures, and texts are encoded")?,
        What::Image => refuse(&text_options(args), "it is about texts, and pictures are encoded")?,
    }
    let name = args.encoder.as_deref().unwrap_or("tfidf");
    if name == "tfidf" || name.starts_with("tfidf:") {
        return refuse(&model_options(args), "TF-IDF counts words, on the CPU");
    }
    if std::path::Path::new(name).extension().is_some_and(|end| end == "onnx") {
        refuse(&[device_option(args)], "ONNX files run on the CPU")?;
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

/// Options about pictures.
fn picture_options(args: &EncodeArgs) -> [Given<'static>; 6] {
    let bound = "--max-tokens bounds what is read of a text";
    [
        ("--preprocess", args.preprocess.is_some(), bound),
        ("--side", args.side.is_some(), bound),
        ("--max-file", args.max_file.is_some(), bound),
        ("--max-pixels", args.max_pixels.is_some(), bound),
        ("--pictures", args.pictures.is_some(), "--field says which texts are read"),
        ("--shared-pictures", args.shared_pictures.is_some(), "identical texts are told of in any case"),
    ]
}

/// Options about texts.
fn text_options(args: &EncodeArgs) -> [Given<'static>; 4] {
    let bound = "--max-pixels and --side bound what is read of a picture";
    let read = "--preprocess says how pictures are read";
    [
        ("--max-tokens", args.max_tokens.is_some(), bound),
        ("--field", args.field.is_some(), "--pictures says where the pictures lie"),
        ("--tokenizer", args.tokenizer.is_some(), read),
        ("--prompt", args.prompt.is_some(), read),
    ]
}

/// Options that TF-IDF has no use for.
fn model_options(args: &EncodeArgs) -> [Given<'static>; 8] {
    let width = "--encoder tfidf:WIDTH is all that can be chosen";
    [
        ("--norm", args.norm.is_some(), width),
        ("--pool", args.pool.is_some(), width),
        ("--unit", args.unit.is_some(), width),
        ("--max-tokens", args.max_tokens.is_some(), width),
        ("--tokenizer", args.tokenizer.is_some(), width),
        ("--prompt", args.prompt.is_some(), width),
        ("--onnx-output", args.onnx_output.is_some(), width),
        device_option(args),
    ]
}

/// A device that is not the CPU.
fn device_option(args: &EncodeArgs) -> Given<'static> {
    ("--device", !matches!(args.device.as_str(), "auto" | "cpu"), "leave it out, or give cpu")
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
fn refuse(options: &[Given<'_>], reason: &str) -> Result<(), Failure> {
    match options.iter().find(|(_, given, _)| *given) {
        None => Ok(()),
        Some((option, _, hint)) => Err(Failure::user(format!("{option} has no effect: {reason}"), *hint)),
    }
}
