//! Targeting as it is evaluated: a tree of operations, made once when flags are read.

use std::sync::Arc;

use serde_json::Value;

use super::version::Comparison;

/// A part of a targeting rule.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    Literal(Value),
    /// A list of which something has to be worked out.
    List(Vec<Expression>),
    /// A field of the context, by its path.
    Variable(Variable),
    Operation(Operator, Vec<Expression>),
    /// `map`, `filter`, `all`, `none`, `some`: over the items of the first, with the second.
    Each(Each, Box<[Expression; 2]>),
    /// The list, what is done with each item, where it begins.
    Reduce(Box<[Expression; 3]>),
    /// `sem_ver`: with a comparison that is known when flags are read.
    Version(Comparison, Box<[Expression; 2]>),
    Fractional(Box<Fractional>),
    /// An evaluator that several rules use.
    Shared(Arc<Expression>),
}

/// `var`.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) path: Path,
    pub(super) default: Option<Box<Expression>>,
}

/// Which field is meant.
#[derive(Clone, Debug)]
pub(super) enum Path {
    /// All of what is looked at.
    Whole,
    Keys(Vec<String>),
    /// `$flagd.flagKey`.
    FlagKey,
    /// `$flagd.timestamp`.
    Timestamp,
    Computed(Box<Expression>),
}

impl Path {
    pub(super) fn of(path: &str) -> Self {
        match path {
            "" => Self::Whole,
            "$flagd.flagKey" => Self::FlagKey,
            "$flagd.timestamp" => Self::Timestamp,
            path => Self::Keys(path.split('.').map(str::to_owned).collect()),
        }
    }
}

/// A split by a hash.
#[derive(Clone, Debug)]
pub(super) struct Fractional {
    /// What is hashed; absent: the flag's key and the targeting key.
    pub(super) by: Option<Expression>,
    pub(super) parts: Vec<Part>,
}

/// One part of a split.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) variant: Expression,
    pub(super) weight: Expression,
}

/// What is done over the items of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Each {
    Map,
    Filter,
    All,
    None,
    Some,
}

/// What has its arguments worked out and gives a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Missing,
    MissingSome,
    If,
    Equal,
    Same,
    NotEqual,
    NotSame,
    Not,
    IsTrue,
    Or,
    And,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Max,
    Min,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Merge,
    In,
    Cat,
    Substring,
    Log,
    StartsWith,
    EndsWith,
}

/// Names of operations that are no [`Operator`].
pub(super) const OTHERS: &[&str] = &[
    "var",
    "map",
    "filter",
    "reduce",
    "all",
    "none",
    "some",
    "fractional",
    "sem_ver",
    "$ref",
];

/// Each with how many arguments it takes, from and to.
pub(super) const OPERATORS: &[(&str, Operator, usize, usize)] = &[
    ("missing", Operator::Missing, 0, usize::MAX),
    ("missing_some", Operator::MissingSome, 2, 2),
    ("if", Operator::If, 1, usize::MAX),
    ("?:", Operator::If, 3, 3),
    ("==", Operator::Equal, 2, 2),
    ("===", Operator::Same, 2, 2),
    ("!=", Operator::NotEqual, 2, 2),
    ("!==", Operator::NotSame, 2, 2),
    ("!", Operator::Not, 1, 1),
    ("!!", Operator::IsTrue, 1, 1),
    ("or", Operator::Or, 1, usize::MAX),
    ("and", Operator::And, 1, usize::MAX),
    (">", Operator::Greater, 2, 2),
    (">=", Operator::GreaterOrEqual, 2, 2),
    ("<", Operator::Less, 2, 3),
    ("<=", Operator::LessOrEqual, 2, 3),
    ("max", Operator::Max, 0, usize::MAX),
    ("min", Operator::Min, 0, usize::MAX),
    ("+", Operator::Add, 1, usize::MAX),
    ("-", Operator::Subtract, 1, 2),
    ("*", Operator::Multiply, 1, usize::MAX),
    ("/", Operator::Divide, 2, 2),
    ("%", Operator::Remainder, 2, 2),
    ("merge", Operator::Merge, 0, usize::MAX),
    ("in", Operator::In, 2, 2),
    ("cat", Operator::Cat, 0, usize::MAX),
    ("substr", Operator::Substring, 2, 3),
    ("log", Operator::Log, 1, 1),
    ("starts_with", Operator::StartsWith, 2, 2),
    ("ends_with", Operator::EndsWith, 2, 2),
];
