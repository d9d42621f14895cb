//! A forecast as a picture: bars by month, in SVG, with the same in words for whoever can't see it.

use svg::Document;
use svg::node::element::{Description, Group, Line, Rectangle, Text, Title};

use super::{Forecast, Month};

/// Pixels, as are all that follow.
const WIDTH: usize = 960;
const HEIGHT: usize = 400;
/// Where the axis of months is, and how far bars may go up from it.
const GROUND: usize = 320;
const TALLEST: usize = 230;
const LEFT: usize = 40;
/// From one bar to the next, and how wide each is.
const PITCH: usize = 37;
const BAR: usize = 26;

const INK: &str = "#1b1b1b";
const BLUE: &str = "#154273";

/// The picture. It says nothing that the table does not.
pub fn svg(forecast: &Forecast) -> String {
    let title = "Certificates to renew, by the month in which they end";
    let axis = Line::new().set("x1", LEFT).set("y1", GROUND).set("x2", WIDTH - LEFT / 2).set("y2", GROUND);
    let scale = forecast.months.iter().map(|month| month.renewals).max().unwrap_or(0).max(1);
    let bars = forecast.months.iter().enumerate().map(|(nth, month)| bar(nth, month, scale));
    let picture = Document::new()
        .set("viewBox", (0, 0, WIDTH, HEIGHT))
        .set("width", WIDTH)
        .set("height", HEIGHT)
        .set("role", "img")
        .set("aria-labelledby", "title description")
        .set("font-family", "sans-serif")
        .set("font-size", 12)
        .add(Title::new(title).set("id", "title"))
        .add(Description::new().set("id", "description").add(svg::node::Text::new(words(forecast))))
        .add(Rectangle::new().set("width", WIDTH).set("height", HEIGHT).set("fill", "#ffffff"))
        .add(label(title, LEFT, 28).set("font-size", 18))
        .add(label(&outside(forecast), LEFT, 50))
        .add(axis.set("stroke", INK));
    let picture = bars.fold(picture, Document::add);
    format!("{picture}\n")
}

fn bar(nth: usize, month: &Month, scale: usize) -> Group {
    let x = LEFT + nth * PITCH + (PITCH - BAR) / 2;
    let height = month.renewals * TALLEST / scale;
    let middle = x + BAR / 2;
    let below = format!("translate({}, {}) rotate(-60)", middle + 4, GROUND + 14);
    let name = Text::new(&*month.name).set("transform", below).set("text-anchor", "end").set("fill", INK);
    let group = Group::new().add(name);
    if month.renewals == 0 {
        return group;
    }
    let column = Rectangle::new().set("x", x).set("y", GROUND - height).set("width", BAR).set("height", height);
    let count = label(&month.renewals.to_string(), middle, GROUND - height - 6).set("text-anchor", "middle");
    group.add(column.set("fill", BLUE)).add(count)
}

fn label(text: &str, x: usize, y: usize) -> Text {
    Text::new(text).set("x", x).set("y", y).set("fill", INK)
}

/// What is not in any of the months.
fn outside(forecast: &Forecast) -> String {
    format!("ended already: {}; later than these months: {}", forecast.ended, forecast.later)
}

fn words(forecast: &Forecast) -> String {
    let months = forecast.months.iter().filter(|month| month.renewals > 0);
    let counts: Vec<String> = months.map(|month| format!("{}: {}", month.name, month.renewals)).collect();
    let counts = if counts.is_empty() { "none in any of the months".to_owned() } else { counts.join(", ") };
    let (first, last) = (forecast.months.first(), forecast.months.last());
    let name = |month: Option<&Month>| month.map(|month| month.name.clone()).unwrap_or_default();
    format!("Bar chart, {} to {}. {counts}; {}.", name(first), name(last), outside(forecast))
}
