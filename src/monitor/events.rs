//! The protobuf messages of TensorBoard's pages.
//!
//! `tensorboard-rs` has no API for texts and hyper-parameters; their plugins' messages are in
//! `tensorboard-proto`.

use protobuf::well_known_types::Value;
use protobuf::{Message, ProtobufResult, RepeatedField};
use tensorboard_proto::api::{DataType, Experiment, HParamInfo, MetricInfo, MetricName, Status};
use tensorboard_proto::event::{Event, SessionLog, SessionLog_SessionStatus};
use tensorboard_proto::plugin_hparams::{HParamsPluginData, SessionEndInfo, SessionStartInfo};
use tensorboard_proto::plugin_text::TextPluginData;
use tensorboard_proto::summary::{
    Summary, Summary_Image, Summary_Value, SummaryMetadata, SummaryMetadata_PluginData,
};
use tensorboard_proto::tensor::TensorProto;
use tensorboard_proto::tensor_shape::{TensorShapeProto, TensorShapeProto_Dim};
use tensorboard_proto::types;

use super::{FINAL_BEST, FINAL_SCORE, FINAL_TEST, HValue, Moment};
use crate::pictures::Png;

/// The colour space of three channels.
const RGB: i32 = 3;

/// The first event of every file.
pub(super) fn file_version(time: f64) -> Event {
    let mut event = Event::new();
    event.set_wall_time(time);
    event.set_file_version("brain.Event:2".into());
    event
}

/// An event that makes readers discard what earlier files hold from `step` on.
pub(super) fn session_start(time: f64, step: u64) -> Event {
    let mut log = SessionLog::new();
    log.set_status(SessionLog_SessionStatus::START);
    let mut event = Event::new();
    event.set_wall_time(time);
    event.set_step(signed(step));
    event.set_session_log(log);
    event
}

/// An event of scalars by tag, without those final metrics that are not finite.
///
/// The HParams page takes a run's cell from the last scalar of the column's tag. Without one, the cell is a missing
/// value, which its table sorts to one end (`missing_values_first` in `list_session_groups.py`). A NaN would be sorted
/// like a number, and compares as neither smaller nor larger, so that Python's sort leaves the rows around it
/// unordered. Charts do show NaN, so that metrics of the training keep it.
pub(super) fn scalars(moment: Moment, values: &[(&str, f64)]) -> Event {
    let is_final =
        |tag: &str| [FINAL_BEST, FINAL_TEST, FINAL_SCORE].iter().any(|start| tag.starts_with(start));
    let shown = values.iter().filter(|(tag, value)| value.is_finite() || !is_final(tag));
    let values = shown.map(|(tag, value)| {
        let mut entry = Summary_Value::new();
        entry.set_tag((*tag).to_owned());
        entry.set_simple_value(*value as f32);
        entry
    });
    summary(moment, values.collect())
}

/// An event of a picture, in the form that every version of the page reads.
pub(super) fn image(moment: Moment, tag: &str, png: &Png) -> Event {
    let mut image = Summary_Image::new();
    image.set_width(png.width.cast_signed());
    image.set_height(png.height.cast_signed());
    image.set_colorspace(RGB);
    image.set_encoded_image_string(png.bytes.clone());
    let mut value = Summary_Value::new();
    value.set_tag(tag.to_owned());
    value.set_image(image);
    summary(moment, vec![value])
}

/// An event of a Markdown text.
pub(super) fn text(moment: Moment, tag: &str, markdown: &str) -> ProtobufResult<Event> {
    let mut tensor = TensorProto::new();
    tensor.set_dtype(types::DataType::DT_STRING);
    tensor.set_tensor_shape(vector_shape(1));
    tensor.set_string_val(RepeatedField::from_vec(vec![markdown.as_bytes().to_vec()]));
    let mut value = Summary_Value::new();
    value.set_tag(tag.to_owned());
    value.set_metadata(metadata("text", TextPluginData::new().write_to_bytes()?));
    value.set_tensor(tensor);
    Ok(summary(moment, vec![value]))
}

/// The events of a row of the HParams page: the experiment, the session's start with its settings, and its end.
pub(super) fn hparams(
    moment: Moment,
    started: f64,
    hparams: &[(String, HValue)],
    metrics: &[(String, f64)],
) -> ProtobufResult<Vec<Event>> {
    let mut start = SessionStartInfo::new();
    start.set_start_time_secs(started);
    start.set_hparams(hparams.iter().map(|(name, value)| (name.clone(), proto_value(value))).collect());
    let mut end = SessionEndInfo::new();
    end.set_status(Status::STATUS_SUCCESS);
    end.set_end_time_secs(moment.time);

    let data = |fill: &dyn Fn(&mut HParamsPluginData)| {
        let mut data = HParamsPluginData::new();
        fill(&mut data);
        data.write_to_bytes()
    };
    let experiment = experiment(hparams, metrics);
    let messages = [
        ("_hparams_/experiment", data(&|d| d.set_experiment(experiment.clone()))?),
        ("_hparams_/session_start_info", data(&|d| d.set_session_start_info(start.clone()))?),
        ("_hparams_/session_end_info", data(&|d| d.set_session_end_info(end.clone()))?),
    ];
    // The page reads these before the first step and has one row a run, whatever the step.
    let first = Moment { step: 0, ..moment };
    Ok(messages.into_iter().map(|(tag, content)| summary(first, vec![plugin_value(tag, content)])).collect())
}

fn experiment(hparams: &[(String, HValue)], metrics: &[(String, f64)]) -> Experiment {
    let infos = hparams.iter().map(|(name, value)| {
        let mut info = HParamInfo::new();
        info.set_name(name.clone());
        info.set_field_type(match value {
            HValue::Number(_) => DataType::DATA_TYPE_FLOAT64,
            HValue::Text(_) => DataType::DATA_TYPE_STRING,
            HValue::Flag(_) => DataType::DATA_TYPE_BOOL,
        });
        info
    });
    let metrics = metrics.iter().map(|(tag, _)| {
        let mut name = MetricName::new();
        name.set_tag(tag.clone());
        let mut info = MetricInfo::new();
        info.set_name(name);
        info
    });
    let mut experiment = Experiment::new();
    experiment.set_hparam_infos(infos.collect());
    experiment.set_metric_infos(metrics.collect());
    experiment
}

fn proto_value(value: &HValue) -> Value {
    let mut out = Value::new();
    match value {
        HValue::Number(number) => out.set_number_value(*number),
        HValue::Text(text) => out.set_string_value(text.clone()),
        HValue::Flag(flag) => out.set_bool_value(*flag),
    }
    out
}

/// A value whose content is in its metadata; the tensor is required, and empty.
fn plugin_value(tag: &str, content: Vec<u8>) -> Summary_Value {
    let mut tensor = TensorProto::new();
    tensor.set_dtype(types::DataType::DT_FLOAT);
    tensor.set_tensor_shape(vector_shape(0));
    let mut value = Summary_Value::new();
    value.set_tag(tag.to_owned());
    value.set_metadata(metadata("hparams", content));
    value.set_tensor(tensor);
    value
}

fn metadata(plugin: &str, content: Vec<u8>) -> SummaryMetadata {
    let mut data = SummaryMetadata_PluginData::new();
    data.set_plugin_name(plugin.to_owned());
    data.set_content(content);
    let mut metadata = SummaryMetadata::new();
    metadata.set_plugin_data(data);
    metadata
}

fn vector_shape(length: i64) -> TensorShapeProto {
    let mut dim = TensorShapeProto_Dim::new();
    dim.set_size(length);
    let mut shape = TensorShapeProto::new();
    shape.set_dim(RepeatedField::from_vec(vec![dim]));
    shape
}

fn summary(moment: Moment, values: Vec<Summary_Value>) -> Event {
    let mut summary = Summary::new();
    summary.set_value(RepeatedField::from_vec(values));
    let mut event = Event::new();
    event.set_wall_time(moment.time);
    event.set_step(signed(moment.step));
    event.set_summary(summary);
    event
}

fn signed(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment { step: 9, epoch: 2, time: 1.0 };

    fn tags(event: &Event) -> Vec<(&str, f32)> {
        event.get_summary().get_value().iter().map(|v| (v.get_tag(), v.get_simple_value())).collect()
    }

    #[test]
    fn a_figure_that_is_not_finite_leaves_its_cell_of_the_table_empty_and_its_point_of_a_chart_there() {
        let values = [
            ("train/loss/total", f64::NAN),
            ("valid/ensemble/ndcg@10", f64::INFINITY),
            ("best/valid/ensemble/ndcg@10", f64::NAN),
            ("test/ensemble/ndcg@10", f64::NEG_INFINITY),
            ("test/ensemble/recall@10", 0.5),
            ("tune/score", f64::NAN),
        ];
        let event = scalars(AT, &values);
        let found = tags(&event);
        let names: Vec<&str> = found.iter().map(|(tag, _)| *tag).collect();
        assert_eq!(names, ["train/loss/total", "valid/ensemble/ndcg@10", "test/ensemble/recall@10"]);
        assert!(found[0].1.is_nan() && found[1].1 == f32::INFINITY && found[2].1 == 0.5);
    }

    #[test]
    fn columns_of_the_table_are_in_the_order_given() {
        let metrics = [("test/z/ndcg@10".to_owned(), 0.1), ("test/a/recall@10".to_owned(), 0.2)];
        let settings = [("seed".to_owned(), HValue::Number(1.0)), ("a".to_owned(), HValue::Flag(true))];
        let events = hparams(AT, 0.5, &settings, &metrics).unwrap();
        let value = &events[0].get_summary().get_value()[0];
        let content = value.get_metadata().get_plugin_data().get_content();
        let data = HParamsPluginData::parse_from_bytes(content).unwrap();
        let experiment = data.get_experiment();
        let names: Vec<&str> = experiment.get_metric_infos().iter().map(|m| m.get_name().get_tag()).collect();
        assert_eq!(names, ["test/z/ndcg@10", "test/a/recall@10"]);
        let names: Vec<&str> = experiment.get_hparam_infos().iter().map(HParamInfo::get_name).collect();
        assert_eq!(names, ["seed", "a"]);
    }
}
