//! Two pictures of a run: quotients with their intervals, latencies with their tails. SVG written by hand.

use std::fmt::Write as _;

use crate::report::{Figures, Line};
use crate::stats::{Reach, Verdict};

/// Where the scale begins, and how wide it is.
const LEFT: f64 = 430.0;
const WIDE: f64 = 520.0;
const ROW: f64 = 22.0;
const TOP: f64 = 56.0;

/// A logarithmic scale over these values.
struct Scale {
    from: f64,
    decades: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let logs: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).map(f64::log10).collect();
        let from = logs.iter().copied().fold(f64::INFINITY, f64::min).floor();
        let to = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
        if logs.is_empty() { Self { from: 0.0, decades: 1.0 } } else { Self { from, decades: (to - from).max(1.0) } }
    }

    fn x(&self, value: f64) -> f64 {
        let log = value.max(f64::MIN_POSITIVE).log10();
        LEFT + ((log - self.from) / self.decades).clamp(0.0, 1.0) * WIDE
    }

    /// A line and a number at every power of ten.
    fn grid(&self, svg: &mut String, bottom: f64, unit: &str) -> std::fmt::Result {
        for step in 0..=(self.decades.round() as i32) {
            let exponent = self.from as i32 + step;
            let (value, x) = (10_f64.powi(exponent), self.x(10_f64.powi(exponent)));
            writeln!(svg, r##"<path d="M{x:.1} {TOP}V{bottom:.1}" stroke="#ddd"/>"##)?;
            let y = TOP - 8.0;
            writeln!(svg, r##"<text x="{x:.1}" y="{y}" text-anchor="middle" fill="#666">{value}{unit}</text>"##)?;
        }
        Ok(())
    }
}

fn head(svg: &mut String, rows: usize, title: &str) -> Result<f64, std::fmt::Error> {
    let bottom = TOP + ROW * rows as f64 + 8.0;
    let (width, height) = (LEFT + WIDE + 40.0, bottom + 30.0);
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(svg, r##"<rect width="{width}" height="{height}" fill="#fff"/>"##)?;
    writeln!(svg, r#"<text x="12" y="22" font-size="15" font-weight="bold">{}</text>"#, plain(title))?;
    Ok(bottom)
}

fn label(svg: &mut String, y: f64, text: &str) -> std::fmt::Result {
    writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{}</text>"#, LEFT - 10.0, y + 4.0, plain(text))
}

/// The quotients: a dot for the median, a line for its interval, a tick for what is to be reached.
pub(crate) fn ratios(lines: &[Line]) -> Result<String, std::fmt::Error> {
    let mut svg = String::new();
    let scale = Scale::over(lines.iter().flat_map(|line| [line.estimate.low, line.estimate.high]));
    let bottom = head(&mut svg, lines.len(), "Quotients within a round: median, 5–95 %, what is to be reached")?;
    scale.grid(&mut svg, bottom, "")?;
    for (row, line) in lines.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.6);
        label(&mut svg, y, &format!("{} ({})", line.title, line.measure))?;
        let color = match line.verdict {
            Some(Verdict::Reached) => "#2a7f3f",
            Some(Verdict::Missed) => "#b3261e",
            Some(Verdict::Unclear) => "#b07d00",
            None => "#456",
        };
        let [low, mid, high] = [line.estimate.low, line.estimate.mid, line.estimate.high].map(|value| scale.x(value));
        writeln!(svg, r#"<path d="M{low:.1} {y:.1}H{high:.1}" stroke="{color}" stroke-width="3"/>"#)?;
        writeln!(svg, r#"<circle cx="{mid:.1}" cy="{y:.1}" r="4.5" fill="{color}"/>"#)?;
        let ticks = match line.reach {
            None => vec![],
            Some(Reach::AtLeast(value) | Reach::AtMost(value)) => vec![value],
            Some(Reach::Between(least, most)) => vec![least, most],
        };
        for x in ticks.into_iter().map(|value| scale.x(value)) {
            writeln!(svg, r##"<path d="M{x:.1} {:.1}V{:.1}" stroke="#000" stroke-width="2"/>"##, y - 8.0, y + 8.0)?;
        }
    }
    let y = bottom + 18.0;
    writeln!(
        svg,
        r##"<text x="12" y="{y}" fill="#666">green: reached · red: missed · amber: unclear · grey: for information</text>"##
    )?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// The latencies: from the median to 99.9 %.
pub(crate) fn latencies(figures: &[Figures]) -> Result<String, std::fmt::Error> {
    let figures: Vec<&Figures> = figures.iter().filter(|case| case.p50 > 0.0).collect();
    let mut svg = String::new();
    let scale = Scale::over(figures.iter().flat_map(|case| [case.p50, case.p999]));
    let bottom = head(&mut svg, figures.len(), "Latency of a call: p50, p99, p99.9")?;
    scale.grid(&mut svg, bottom, " ms")?;
    for (row, case) in figures.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.6);
        label(&mut svg, y, &case.title)?;
        let (from, to) = (scale.x(case.p50), scale.x(case.p999));
        writeln!(svg, r##"<path d="M{from:.1} {y:.1}H{to:.1}" stroke="#9ab" stroke-width="3"/>"##)?;
        for (value, color) in [(case.p50, "#2a7f3f"), (case.p99, "#b07d00"), (case.p999, "#b3261e")] {
            writeln!(svg, r#"<circle cx="{:.1}" cy="{y:.1}" r="4.5" fill="{color}"/>"#, scale.x(value))?;
        }
    }
    let y = bottom + 18.0;
    writeln!(
        svg,
        r##"<text x="12" y="{y}" fill="#666">green: half of the calls · amber: 99 of 100 · red: 999 of 1000</text>"##
    )?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// Text that XML reads as text.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
