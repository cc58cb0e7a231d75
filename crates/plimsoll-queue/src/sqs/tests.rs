mod answer;
mod read;
mod sent;
