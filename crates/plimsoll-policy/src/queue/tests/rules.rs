//! Goal: each rule of the queue, one by one. Method: small queues with a handful of messages, at times that are told.

use super::*;

const LEASE: Duration = Duration::from_secs(30);

#[test]
fn an_acknowledged_message_is_gone_and_its_token_with_it() {
    let mut queue = queue();
    publish(&mut queue, message(0, START));
    let delivery = receive(&mut queue, START, 5)[0];
    let (at, token) = (delivery.handle, delivery.token);
    assert_eq!(delivery.until, START + LEASE);
    assert_eq!(queue.on_ack(START, at, token ^ 1), Err(NotLeased));
    assert_eq!(queue.on_ack(START, at, token), Ok(()));
    assert_eq!(queue.on_ack(START, at, token), Err(NotLeased));
    let figures = queue.figures(START);
    assert_eq!((figures.in_flight, figures.ready, figures.bytes), (0, 0, 0));
    assert_eq!(queue.next_timeout(), None);
}

#[test]
fn a_lease_that_ran_out_counts_until_it_is_returned() {
    let mut queue = queue();
    (0..2).for_each(|slot| publish(&mut queue, message(slot, START)));
    let first = receive(&mut queue, START, 2);
    let over = START + LEASE;
    assert_eq!(queue.next_timeout(), Some(over));
    assert!(tick(&mut queue, over - Duration::from_millis(1)).is_empty());
    assert_eq!(queue.on_ack(over, first[0].handle, first[0].token), Ok(()));
    let returned = QueueEvent::Returned {
        handle: first[1].handle,
        attempts: 1,
        due: over,
    };
    assert_eq!(tick(&mut queue, over), [returned]);
    let late = queue.on_ack(over, first[1].handle, first[1].token);
    assert_eq!(late, Err(NotLeased));
    let second = receive(&mut queue, over, 2);
    assert_eq!((second.len(), second[0].attempt), (1, 2));
    let late = queue.on_ack(over, first[1].handle, first[1].token);
    assert_eq!(late, Err(NotLeased));
}

#[test]
fn messages_that_ran_out_together_come_back_in_order_before_the_others() {
    let mut queue = queue();
    (0..4).for_each(|slot| publish(&mut queue, message(slot, later(slot))));
    assert_eq!(slots(&mut queue, later(4), 3), [0, 1, 2]);
    tick(&mut queue, later(4) + LEASE);
    assert_eq!(slots(&mut queue, later(4) + LEASE, 4), [0, 1, 2, 3]);
}

#[test]
fn an_extension_moves_the_end_and_zero_returns_it() {
    let mut queue = queue();
    publish(&mut queue, message(0, START));
    let first = receive(&mut queue, START, 1)[0];
    let end = queue.on_extend(later(5), first.handle, first.token, SECOND * 60);
    assert_eq!(end, Ok(later(5) + SECOND * 60));
    assert!(tick(&mut queue, START + LEASE).is_empty());
    let end = queue.on_extend(later(9), first.handle, first.token, Duration::ZERO);
    assert_eq!((end, queue.next_timeout()), (Ok(later(9)), Some(later(9))));
    assert_eq!(tick(&mut queue, later(9)).len(), 1);
    let second = receive(&mut queue, later(9), 1)[0];
    assert_eq!(second.attempt, 2);
    let late = queue.on_extend(later(9), first.handle, first.token, SECOND);
    assert!(late == Err(NotLeased) || first.token == second.token);
}

#[test]
fn a_message_is_dead_after_its_attempts_whether_nacked_or_run_out() {
    for by_nack in [true, false] {
        let mut queue = queue();
        publish(&mut queue, message(0, START));
        let mut now = START;
        for attempt in 1..=5 {
            let delivery = receive(&mut queue, now, 1)[0];
            let (handle, token) = (delivery.handle, delivery.token);
            assert_eq!(delivery.attempt, attempt);
            if by_nack {
                let nacked = queue.on_nack(now, handle, token, Some(Duration::ZERO));
                let expected = match attempt {
                    5 => Nacked::Dead { attempts: 5 },
                    attempts => Nacked::Returned { due: now, attempts },
                };
                assert_eq!(nacked, Ok(expected));
            } else {
                now = now + LEASE;
                let dead = QueueEvent::Dead {
                    handle,
                    attempts: 5,
                };
                assert_eq!(tick(&mut queue, now) == [dead], attempt == 5);
            }
        }
        assert_eq!(receive(&mut queue, now, 1), []);
        assert_eq!(queue.figures(now).bytes, 0);
    }
}

#[test]
fn without_a_limit_of_attempts_no_message_is_dead() {
    let parameters = QueueParameters {
        attempts_max: 0,
        ..QueueParameters::default()
    };
    let mut queue = Queue::new(parameters, 1);
    publish(&mut queue, message(0, START));
    for attempt in 1..100 {
        let delivery = receive(&mut queue, START, 1)[0];
        assert_eq!(delivery.attempt, attempt);
        let nacked = queue.on_nack(START, delivery.handle, delivery.token, Some(Duration::ZERO));
        assert!(matches!(nacked, Ok(Nacked::Returned { .. })));
    }
}

#[test]
fn the_backoff_is_uniform_up_to_an_end_that_doubles_to_its_maximum() {
    let parameters = QueueParameters {
        attempts_max: 0,
        backoff_max: SECOND * 3,
        ..QueueParameters::default()
    };
    let mut queue = Queue::new(parameters, 3);
    let mut sums = [0; 4];
    let mut now = START;
    for slot in 0..2_000 {
        publish(&mut queue, message(slot, now));
        for (sum, end) in sums.iter_mut().zip([1_000, 2_000, 3_000, 3_000]) {
            let delivery = receive(&mut queue, now, 1)[0];
            let nacked = queue.on_nack(now, delivery.handle, delivery.token, None);
            let Ok(Nacked::Returned { due, .. }) = nacked else {
                panic!("{nacked:?}");
            };
            assert!(due >= now && due <= Millis(now.0 + end));
            *sum += due.0 - now.0;
            let early = Millis(due.0 - 1);
            assert!(due == now || receive(&mut queue, early, 1).is_empty());
            now = due;
        }
        let delivery = receive(&mut queue, now, 1)[0];
        queue.on_ack(now, delivery.handle, delivery.token).unwrap();
    }
    for (sum, mean) in sums.into_iter().zip([500, 1_000, 1_500, 1_500]) {
        assert!((sum / 2_000).abs_diff(mean) < mean / 10, "{sums:?}");
    }
}

#[test]
fn a_delayed_message_is_not_ready_before_it_is_due() {
    let mut queue = queue();
    let due = later(500);
    publish(
        &mut queue,
        Arriving {
            due,
            ..message(0, START)
        },
    );
    assert_eq!(
        (queue.next_timeout(), queue.figures(START).delayed),
        (Some(due), 1)
    );
    assert!(slots(&mut queue, later(499), 1).is_empty());
    assert_eq!(slots(&mut queue, due, 1), [0]);
}

#[test]
fn a_group_goes_in_order_and_one_at_a_time() {
    let mut queue = queue();
    for slot in 0..3 {
        let group = Some(9);
        publish(
            &mut queue,
            Arriving {
                group,
                ..message(slot, START)
            },
        );
    }
    publish(&mut queue, message(3, START));
    let first = receive(&mut queue, START, 9);
    let handles: Vec<_> = first.iter().map(|it| (slot(it.handle), it.group)).collect();
    assert_eq!(handles, [(0, Some(9)), (3, None)]);
    assert_eq!(queue.figures(START).groups_blocked, 1);
    // A head that comes back blocks until its backoff is over, and is next.
    let nacked = queue.on_nack(START, first[0].handle, first[0].token, Some(SECOND));
    assert!(matches!(nacked, Ok(Nacked::Returned { .. })));
    assert!(slots(&mut queue, later(999), 9).is_empty());
    assert_eq!(queue.figures(later(999)).delayed, 1);
    let again = receive(&mut queue, later(1_000), 9);
    assert_eq!(
        (again.len(), again[0].handle, again[0].attempt),
        (1, handle(0), 2)
    );
    queue
        .on_ack(later(1_000), again[0].handle, again[0].token)
        .unwrap();
    assert_eq!(slots(&mut queue, later(1_000), 9), [1]);
}

#[test]
fn a_publish_delay_blocks_nobody_of_its_group_and_ends_at_the_end_of_the_line() {
    let mut queue = queue();
    let of_group = |slot, at, due| Arriving {
        group: Some(1),
        due,
        ..message(slot, at)
    };
    publish(&mut queue, of_group(0, START, later(100)));
    publish(&mut queue, of_group(1, later(1), Millis(0)));
    publish(&mut queue, of_group(2, later(2), Millis(0)));
    publish(&mut queue, of_group(3, later(200), Millis(0)));
    let mut order = Vec::new();
    for _ in 0..4 {
        let delivery = receive(&mut queue, later(300), 9)[0];
        order.push(slot(delivery.handle));
        queue
            .on_ack(later(300), delivery.handle, delivery.token)
            .unwrap();
    }
    assert_eq!(order, [1, 2, 0, 3]);
}

#[test]
fn a_group_takes_one_turn_and_goes_to_the_back() {
    let mut queue = queue();
    for slot in 0..3 {
        publish(
            &mut queue,
            Arriving {
                group: Some(1),
                ..message(slot, START)
            },
        );
    }
    (3..6).for_each(|slot| publish(&mut queue, message(slot, START)));
    let first = receive(&mut queue, START, 2);
    assert_eq!((slot(first[0].handle), slot(first[1].handle)), (0, 3));
    queue
        .on_ack(START, first[0].handle, first[0].token)
        .unwrap();
    publish(&mut queue, message(6, START));
    assert_eq!(slots(&mut queue, START, 9), [4, 5, 1, 6]);
}

#[test]
fn a_group_stands_where_its_head_belongs() {
    let mut queue = queue();
    let of = |slot, priority, tenant| Arriving {
        group: Some(1),
        priority,
        tenant,
        ..message(slot, START)
    };
    publish(&mut queue, of(0, 0, 1));
    publish(&mut queue, of(1, 9, 2));
    publish(
        &mut queue,
        Arriving {
            priority: 5,
            ..message(2, START)
        },
    );
    let first = receive(&mut queue, START, 9);
    assert_eq!((slot(first[0].handle), slot(first[1].handle)), (2, 0));
    publish(
        &mut queue,
        Arriving {
            priority: 5,
            ..message(3, START)
        },
    );
    queue
        .on_ack(START, first[1].handle, first[1].token)
        .unwrap();
    assert_eq!(slots(&mut queue, START, 9), [1, 3]);
}

#[test]
fn what_is_paused_is_not_delivered() {
    let mut queue = queue();
    publish(
        &mut queue,
        Arriving {
            group: Some(1),
            ..message(0, START)
        },
    );
    publish(&mut queue, message(1, START));
    queue.pause(true);
    assert!(!queue.has_ready() && slots(&mut queue, START, 9).is_empty());
    queue.pause(false);
    assert!(queue.pause_group(1, true));
    assert_eq!(slots(&mut queue, START, 9), [1]);
    assert!(!queue.has_ready());
    assert!(queue.pause_group(1, false));
    assert!(queue.has_ready());
    assert_eq!(slots(&mut queue, START, 9), [0]);
}

#[test]
fn tenants_take_turns_within_a_priority() {
    let mut queue = queue();
    for slot in 0..6 {
        let tenant = u64::from(slot >= 4);
        publish(
            &mut queue,
            Arriving {
                tenant,
                ..message(slot, START)
            },
        );
    }
    assert_eq!(queue.figures(START).tenants, 2);
    assert_eq!(slots(&mut queue, START, 9), [0, 4, 1, 5, 2, 3]);
}

#[test]
fn priorities_are_strict_until_one_has_waited() {
    let mut queue = queue();
    let of = |slot, priority, at| Arriving {
        priority,
        ..message(slot, at)
    };
    publish(&mut queue, of(0, 3, START));
    publish(&mut queue, of(1, 5, later(59_999)));
    publish(&mut queue, of(2, 5, later(180_000)));
    assert_eq!(slots(&mut queue, later(119_999), 1), [1]);
    // Three minutes raise it to six.
    assert_eq!(slots(&mut queue, later(180_000), 2), [0, 2]);
    // Two raise it to an equal, and of equals the higher goes.
    publish(&mut queue, of(3, 3, later(180_000)));
    publish(&mut queue, of(4, 5, later(300_000)));
    assert_eq!(slots(&mut queue, later(300_000), 2), [4, 3]);
}

#[test]
fn a_publish_delay_is_no_waiting() {
    let mut queue = queue();
    let due = START + SECOND * 3_600;
    publish(
        &mut queue,
        Arriving {
            due,
            ..message(0, START)
        },
    );
    publish(
        &mut queue,
        Arriving {
            priority: 1,
            ..message(1, due)
        },
    );
    assert_eq!(slots(&mut queue, due, 2), [1, 0]);
}

#[test]
fn a_key_is_remembered_for_its_window_also_after_the_ack() {
    let mut queue = queue();
    publish(
        &mut queue,
        Arriving {
            dedup: Some(5),
            ..message(0, START)
        },
    );
    let delivery = receive(&mut queue, START, 1)[0];
    queue
        .on_ack(START, delivery.handle, delivery.token)
        .unwrap();
    let end = START + SECOND * 300;
    assert_eq!(
        queue.duplicate_of(end - Duration::from_millis(1), 5),
        Some(handle(0))
    );
    assert_eq!(queue.duplicate_of(end, 5), None);
    tick(&mut queue, end);
    assert_eq!(queue.figures(end).dedup_keys, 0);
}

#[test]
fn the_oldest_key_is_forgotten_first() {
    let parameters = QueueParameters {
        dedup_max: 2,
        ..QueueParameters::default()
    };
    let mut queue = Queue::new(parameters, 1);
    for slot in 0..3 {
        publish(
            &mut queue,
            Arriving {
                dedup: Some(slot.into()),
                ..message(slot, later(slot))
            },
        );
    }
    let known = (0..3).map(|key| queue.duplicate_of(later(3), key).is_some());
    assert_eq!(known.collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn what_is_kept_too_long_expires_but_not_while_it_is_leased() {
    let retention = SECOND * 100;
    let parameters = QueueParameters {
        retention,
        lease: SECOND * 300,
        ..QueueParameters::default()
    };
    let mut queue = Queue::new(parameters, 1);
    publish(&mut queue, message(0, START));
    publish(
        &mut queue,
        Arriving {
            group: Some(1),
            ..message(1, later(1))
        },
    );
    publish(
        &mut queue,
        Arriving {
            due: START + SECOND * 500,
            ..message(2, later(2))
        },
    );
    publish(&mut queue, message(3, later(3)));
    assert_eq!(slots(&mut queue, later(3), 1), [0]);
    let end = later(3) + retention;
    assert!(tick(&mut queue, START + retention).is_empty());
    let expired = |slot| QueueEvent::Expired {
        handle: handle(slot),
    };
    assert_eq!(
        tick(&mut queue, later(2) + retention),
        [expired(2), expired(1)]
    );
    assert_eq!(queue.next_timeout(), Some(end));
    assert_eq!(tick(&mut queue, end), [expired(3)]);
    let figures = queue.figures(end);
    assert_eq!(
        (figures.in_flight, figures.ready, figures.groups),
        (1, 0, 0)
    );
    // It expires once it is back.
    let events = tick(&mut queue, START + SECOND * 303);
    assert_eq!(events.last(), Some(&expired(0)));
}

#[test]
fn a_tick_does_a_bounded_part_and_says_that_there_is_more() {
    let mut queue = queue();
    (0..2_500).for_each(|slot| publish(&mut queue, message(slot, START)));
    let end = START + queue.parameters().retention;
    let mut counts = Vec::new();
    while queue.next_timeout().is_some_and(|at| at <= end) {
        counts.push(tick(&mut queue, end).len());
    }
    assert!(counts.iter().all(|&count| count <= 1_000), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 2_500);
}

#[test]
fn another_retention_and_other_limits_hold_at_once() {
    let mut queue = queue();
    publish(
        &mut queue,
        Arriving {
            due: later(9_000),
            ..message(0, START)
        },
    );
    let retention = SECOND;
    queue.set_parameters(QueueParameters {
        retention,
        ..QueueParameters::default()
    });
    assert_eq!(queue.next_timeout(), Some(later(1_000)));
    assert_eq!(tick(&mut queue, later(1_000)).len(), 1);
}

#[test]
fn limits_are_told_before_anything_is_written() {
    let parameters = QueueParameters {
        messages_max: 2,
        bytes_max: 200,
        groups_max: 1,
        in_flight_max: 1,
        ..QueueParameters::default()
    };
    let mut queue = Queue::new(parameters, 1);
    assert_eq!(queue.admit(200), Ok(()));
    assert_eq!(queue.admit(201), Err(QueueFull::Bytes { max: 200 }));
    publish(
        &mut queue,
        Arriving {
            group: Some(1),
            ..message(0, START)
        },
    );
    assert_eq!(queue.figures(START).bytes, 32);
    assert_eq!(queue.admit(169), Err(QueueFull::Bytes { max: 200 }));
    assert_eq!(queue.admit_group(1), Ok(()));
    assert_eq!(queue.admit_group(2), Err(QueueFull::Groups { max: 1 }));
    publish(&mut queue, message(1, START));
    assert_eq!(queue.admit(1), Err(QueueFull::Messages { max: 2 }));
    assert_eq!(slots(&mut queue, START, 9), [0]);
    assert!(!queue.has_ready());
}

#[test]
fn a_purge_takes_all_but_what_is_leased() {
    let mut queue = queue();
    for slot in 0..6 {
        let group = (slot % 2 == 0).then_some(1);
        let due = Millis(if slot == 5 { later(9).0 } else { 0 });
        publish(
            &mut queue,
            Arriving {
                group,
                due,
                ..message(slot, START)
            },
        );
    }
    let leased = receive(&mut queue, START, 1)[0];
    assert_eq!(queue.purge(), 5);
    assert!(slots(&mut queue, later(9), 9).is_empty());
    // The group goes on with what comes.
    publish(
        &mut queue,
        Arriving {
            group: Some(1),
            ..message(7, later(9))
        },
    );
    assert!(slots(&mut queue, later(9), 9).is_empty());
    queue.on_ack(later(9), leased.handle, leased.token).unwrap();
    assert_eq!(slots(&mut queue, later(9), 9), [7]);
}

#[test]
fn messages_are_taken_for_another_queue_in_order() {
    let mut queue = queue();
    for slot in 0..5 {
        let group = (slot < 2).then_some(1);
        publish(
            &mut queue,
            Arriving {
                group,
                ..message(slot, START)
            },
        );
    }
    queue.pause(true);
    let mut out = Vec::new();
    queue.take_ready(START, 4, &mut out);
    assert_eq!(out, [0, 2, 3, 4].map(handle));
    queue.take_ready(START, 4, &mut out);
    assert_eq!(out.last(), Some(&handle(1)));
    assert_eq!(queue.figures(START).bytes, 0);
}

#[test]
fn a_look_shows_what_would_go_next() {
    let mut queue = queue();
    for slot in 0..4 {
        let priority = u8::from(slot == 3);
        publish(
            &mut queue,
            Arriving {
                priority,
                ..message(slot, later(slot))
            },
        );
    }
    let of = |peeked: Vec<Peeked>| peeked.iter().map(|it| slot(it.handle)).collect::<Vec<_>>();
    assert_eq!(of(queue.peek(Which::Ready, 0, 9)), [3, 0, 1, 2]);
    assert_eq!(of(queue.peek(Which::Ready, 1, 2)), [0, 1]);
    let leased = receive(&mut queue, later(4), 1)[0];
    let seen = queue.peek(Which::Leased, 0, 9);
    assert_eq!((seen[0].handle, seen[0].due), (leased.handle, leased.until));
    queue
        .on_nack(later(4), leased.handle, leased.token, Some(SECOND))
        .unwrap();
    let seen = queue.peek(Which::Delayed, 0, 9);
    assert_eq!((seen[0].due, seen[0].attempts), (later(1_004), 1));
    assert_eq!(queue.figures(later(4)).oldest, Some(START));
}

#[test]
fn the_same_seed_and_the_same_calls_give_the_same_tokens() {
    let run = |seed| {
        let mut queue = Queue::new(QueueParameters::default(), seed);
        (0..9).for_each(|slot| publish(&mut queue, message(slot, START)));
        receive(&mut queue, START, 9)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
