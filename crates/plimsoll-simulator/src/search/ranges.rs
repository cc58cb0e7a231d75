//! What scenarios of a search are drawn from: each range, with why it is not wider.
//!
//! Units: seconds, requests per second. All durations of phases and faults are whole seconds, so that they begin and
//! end with a second of the timeline.

/// From the first to the second, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range(pub f64, pub f64);

/// The ranges. [`Ranges::DECLARED`] is what is searched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranges {
    /// Gateways. Each holds at least two requests in flight, so that many before a small service are more than it
    /// can work on.
    pub gateways: Range,
    /// Threads of each: two is where wake-ups between threads begin.
    pub threads: Range,
    /// Services. More are more of the same: they share nothing but gateways.
    pub services: Range,
    /// Endpoints of a service.
    pub endpoints: Range,
    /// What a service can answer in a second. More says nothing new and takes longer; below it, a gateway has fewer
    /// answers in its windows than it needs to learn in the time that is judged.
    pub capacity: Range,
    /// The mean time of a request.
    pub time: Range,
    /// The coefficient of variation of lognormal times. Beyond it, the 150 answers of a limiter's window are mostly
    /// noise, and the limit wanders.
    pub cv: Range,
    /// The objective, in mean times: below, most answers are late without any load. More where [`Self::in_time_min`] needs
    /// it.
    pub objective: Range,
    /// The same of shared work. Where it is far longer than answers take at the best concurrency, only elasticity tells
    /// where that is, and to learn it takes longer than five seconds.
    pub objective_shared: Range,
    /// The objective, in seconds.
    pub objective_seconds: Range,
    /// The share of answers that take at most half of the objective where nothing waits. Below, no closed form says
    /// what is possible: what waits behind a long request is late.
    pub in_time_min: f64,
    /// How many requests each gateway may have in flight by Little's law within half of the objective, at the
    /// service's capacity. A gateway begins with 20, and goes below while permits are left only after seconds.
    pub in_flight_min: f64,
    /// Concurrency at which a service of shared work is at its best.
    pub knee: Range,
    /// Its contention.
    pub contention: Range,
    /// What new users ask for before and after, in what a service can do. More than all of it is part of it.
    pub load: Range,
    /// How many times as much in a surge.
    pub surge: Range,
    /// How long one of a population thinks. Longer is nearer to a rate.
    pub think: Range,
    /// The share that leaves a population after it failed.
    pub leaves: Range,
    /// How far a wave goes.
    pub swing: Range,
    /// How long it is: shorter ones are bursts.
    pub period: Range,
    /// The time in which a flash crowd comes. Faster ones are surges.
    pub rise: Range,
    /// ...and that in which 63 % of it go again.
    pub decay: Range,
    /// Workloads of a service.
    pub workloads: Range,
    /// Tries of a client.
    pub attempts: Range,
    /// The mean pause before the next.
    pub pause: Range,
    /// Patience, in objectives: who leaves before the objective is over asks for more than the service promises.
    pub patience: Range,
    /// The same in seconds.
    pub patience_seconds: Range,
    /// Tenants of a workload.
    pub tenants: Range,
    /// How unlike they are.
    pub zipf: Range,
    /// Seconds before the trouble.
    pub before: Range,
    /// Seconds of trouble.
    pub trouble: Range,
    /// Seconds after it: what is judged is what is left of them after the time to recover.
    pub after: Range,
    /// Faults. They begin and end within the trouble.
    pub faults: Range,
    /// How many times as long requests take under `slow`.
    pub slow: Range,
    /// The share of errors.
    pub errors: Range,
    /// The share of workers that is left.
    pub capacity_left: Range,
}

impl Ranges {
    /// What is searched.
    pub const DECLARED: Self = Self {
        gateways: Range(1.0, 4.0),
        threads: Range(1.0, 2.0),
        services: Range(1.0, 2.0),
        endpoints: Range(1.0, 8.0),
        capacity: Range(200.0, 1_500.0),
        time: Range(0.005, 0.100),
        cv: Range(0.2, 1.2),
        objective: Range(5.0, 25.0),
        objective_shared: Range(5.0, 12.0),
        objective_seconds: Range(0.05, 1.0),
        in_time_min: 0.97,
        in_flight_min: 20.0,
        knee: Range(8.0, 40.0),
        contention: Range(0.0, 0.03),
        load: Range(0.2, 1.6),
        surge: Range(1.5, 5.0),
        think: Range(0.5, 5.0),
        leaves: Range(0.05, 0.3),
        swing: Range(0.1, 0.8),
        period: Range(10.0, 60.0),
        rise: Range(1.0, 10.0),
        decay: Range(2.0, 20.0),
        workloads: Range(1.0, 3.0),
        attempts: Range(1.0, 4.0),
        pause: Range(0.05, 2.0),
        patience: Range(2.0, 10.0),
        patience_seconds: Range(0.3, 5.0),
        tenants: Range(1.0, 50.0),
        zipf: Range(0.0, 1.2),
        before: Range(10.0, 14.0),
        trouble: Range(6.0, 20.0),
        after: Range(25.0, 26.0),
        faults: Range(0.0, 3.0),
        slow: Range(2.0, 20.0),
        errors: Range(0.05, 1.0),
        capacity_left: Range(0.2, 0.8),
    };
}
