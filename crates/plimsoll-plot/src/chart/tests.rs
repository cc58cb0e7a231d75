use super::*;
use crate::axis::Span;
use proptest::prelude::*;

fn axis(points: usize) -> TimeAxis {
    TimeAxis {
        begin: 0.0,
        step: 1.0,
        points,
        cuts: vec![2.0],
        onsets: Vec::new(),
        faults: vec![Span { from: 1.0, to: 3.0 }],
        format: |at| format!("{at:.0} s"),
    }
}

fn chart(axis: &TimeAxis, layers: Vec<Layer>) -> Chart<'_> {
    Chart {
        axis,
        height: 100,
        finding: "a <b> & \"c\"".into(),
        scale: Scale::Linear(10.0),
        format: |value| format!("{value:.0}/s"),
        layers,
        promise: Some(Promise {
            value: 5.0,
            label: "objective".into(),
        }),
        times: true,
    }
}

fn series(label: &str, values: &[f64]) -> Series {
    // What is below zero is a gap: short to write.
    let values = values.iter().map(|value| (*value >= 0.0).then_some(*value));
    Series::new(label, "line", values)
}

#[test]
fn a_plot_is_its_parts() {
    let axis = axis(4);
    let layers = vec![
        Layer::Area(series("in flight", &[1.0, 2.0, -1.0, 4.0])),
        Layer::Line(series("limit", &[8.0, 8.0, -1.0, 8.0])),
    ];
    let svg = chart(&axis, layers).svg();
    let lines: Vec<&str> = svg.split_inclusive("/>").collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn texts_of_others_are_escaped() {
    let axis = axis(2);
    let chart = chart(&axis, vec![Layer::Line(series("<script>", &[1.0, 2.0]))]);
    for text in [chart.svg(), chart.key(), chart.table("<script>")] {
        assert!(!text.contains("<script>"), "{text}");
        assert!(text.contains("&lt;script&gt;"));
    }
    assert!(
        chart
            .svg()
            .contains("aria-label=\"a &lt;b&gt; &amp; &quot;c&quot;\"")
    );
}

#[test]
fn what_is_not_known_is_hatched_and_written_so() {
    let axis = axis(4);
    let layers = vec![Layer::Line(series("good", &[1.0, -1.0, -1.0, 2.0]))];
    let svg = chart(&axis, layers.clone()).svg();
    assert_eq!(svg.matches("class=\"gap\"").count(), 1);
    assert!(
        svg.contains("class=\"gap\" x=\"25%\" y=\"0\" width=\"50%\""),
        "{svg}"
    );
    assert!(svg.contains("1 s: good unknown"));
    let table = chart(&axis, layers.clone()).table("good");
    assert_eq!(table.matches("unknown").count(), 2);
    // As long as one of them is known, the plot is not hatched.
    let other = Layer::Line(series("other", &[1.0, 1.0, 1.0, 1.0]));
    let both = chart(&axis, layers.into_iter().chain([other]).collect()).svg();
    assert!(!both.contains("class=\"gap\""));
}

#[test]
fn what_is_stacked_begins_where_the_one_below_ends() {
    let axis = axis(2);
    let stack = vec![series("a", &[2.0, 2.0]), series("b", &[3.0, 1.0])];
    let svg = chart(&axis, vec![Layer::Stack(stack)]).svg();
    assert!(
        svg.contains("d=\"M250 80L750 80L750 100L250 100Z\""),
        "{svg}"
    );
    assert!(svg.contains("d=\"M250 50L750 70L750 80L250 80Z\""), "{svg}");
}

#[test]
fn bars_stand_on_the_axis_and_bands_lie_between() {
    let axis = axis(2);
    let bars = Layer::Bars(series("queue", &[0.0, 5.0]));
    let band = Layer::Band {
        low: series("P50", &[1.0, 1.0]),
        high: series("P99", &[9.0, 8.0]),
    };
    let svg = chart(&axis, vec![band, bars]).svg();
    assert!(svg.contains("d=\"M250 10L750 20L750 90L250 90Z\""), "{svg}");
    // A bar of nothing is not drawn.
    assert!(svg.contains("d=\"M600 100V50h300V100Z\""), "{svg}");
}

#[test]
fn a_long_run_has_few_columns_to_point_at() {
    let axis = axis(1_000);
    let values = vec![1.0; 1_000];
    let svg = chart(&axis, vec![Layer::Line(series("x", &values))]).svg();
    let hits = svg.matches("class=\"hit\"").count();
    assert!((30..=60).contains(&hits), "{hits}");
}

#[test]
fn nothing_to_draw_is_still_a_plot() {
    let axis = axis(0);
    let svg = chart(&axis, vec![Layer::Line(series("x", &[]))]).svg();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
    assert!(!svg.contains("<path class=\"line"));
}

proptest! {
    #[test]
    fn no_value_whatever_it_is_becomes_a_wrong_coordinate(
        values in prop::collection::vec(any::<Option<f64>>(), 0..40),
        max in any::<f64>(),
    ) {
        let axis = axis(values.len());
        let series = || Series::new("x", "line", values.iter().copied());
        let layers = vec![
            Layer::Line(series()),
            Layer::Area(series()),
            Layer::Bars(series()),
            Layer::Stack(vec![series(), series()]),
        ];
        let mut chart = chart(&axis, layers);
        chart.format = |_| String::new();
        for scale in [Scale::linear([max]), Scale::log([max])] {
            chart.scale = scale;
            let svg = chart.svg();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("e+"));
        }
    }
}
