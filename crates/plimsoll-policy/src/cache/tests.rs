//! The requirements of RFC 9111 on a shared cache, one by one: each test is named by what is so.

use plimsoll_core::{Instant, Timestamp};

use super::*;

/// Fri, 27 Nov 2026 00:00:00 GMT, at second 1,000.
const RECEIVED: Received = Received {
    requested: at(1_000),
    at: at(1_000),
    date: Timestamp::from_seconds(1_795_737_600),
};
const MODIFIED: (&str, &str) = ("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT");
const TAG: (&str, &str) = ("ETag", "\"a\"");

const fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

/// An answer to a plain `GET`, that is stored.
pub(super) fn stored(status: u16, head: &[(&str, &str)]) -> Stored {
    judge(&[], status, head, &CacheParameters::default()).unwrap()
}

fn get(head: &[(&str, &str)]) -> CacheRequest {
    CacheRequest::read(b"GET", &head, false)
}

fn judge(
    request: &[(&str, &str)],
    status: u16,
    head: &[(&str, &str)],
    parameters: &CacheParameters,
) -> Result<Stored, NotStored> {
    Stored::judge(&get(request), status, &head, None, RECEIVED, parameters)
}

mod storing {
    use super::*;

    #[track_caller]
    fn check(request: &[(&str, &str)], cache_control: &str, expected: Option<NotStored>) {
        let head = [("Cache-Control", cache_control)];
        let found = judge(request, 200, &head, &CacheParameters::default());
        assert_eq!(found.err(), expected, "{cache_control}");
    }

    #[test]
    fn only_answers_to_get_are_stored_3() {
        for method in ["HEAD", "POST", "OPTIONS", "PUT"] {
            let request = CacheRequest::read(method.as_bytes(), &[("a", "b")], false);
            let head = [("Cache-Control", "max-age=60")];
            let parameters = CacheParameters::default();
            let found = Stored::judge(&request, 200, &head, None, RECEIVED, &parameters);
            assert_eq!(found, Err(NotStored::Method), "{method}");
        }
    }

    #[test]
    fn an_answer_to_a_get_with_a_body_is_not_stored() {
        let request = CacheRequest::read(b"GET", &[("a", "b")], true);
        let head = [("Cache-Control", "max-age=60")];
        let found = Stored::judge(
            &request,
            200,
            &head,
            None,
            RECEIVED,
            &CacheParameters::default(),
        );
        assert_eq!(found, Err(NotStored::RequestBody));
    }

    #[test]
    fn only_understood_final_and_whole_statuses_are_stored_3() {
        let head = [("Cache-Control", "max-age=60, must-understand")];
        for status in 100..600 {
            let is_stored = judge(&[], status, &head, &CacheParameters::default()).is_ok();
            let expected = [
                200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 501,
            ];
            assert_eq!(is_stored, expected.contains(&status), "{status}");
        }
    }

    #[test]
    fn no_store_of_request_or_answer_forbids_5_2_1_5_and_5_2_2_5() {
        check(&[], "max-age=60, no-store", Some(NotStored::NoStore));
        let request = [("Cache-Control", "no-store")];
        check(&request, "max-age=60", Some(NotStored::RequestNoStore));
    }

    #[test]
    fn must_understand_stands_before_no_store_where_the_status_is_understood_5_2_2_3() {
        check(&[], "max-age=60, no-store, must-understand", None);
        check(
            &[],
            "max-age=60, no-store, must-understand=x",
            Some(NotStored::NoStore),
        );
    }

    #[test]
    fn private_forbids_even_beside_public_5_2_2_7() {
        check(&[], "public, max-age=60, private", Some(NotStored::Private));
    }

    #[test]
    fn a_private_field_is_left_out_and_the_rest_is_stored_5_2_2_7() {
        let head = [
            ("Cache-Control", "max-age=60, private=\"Set-Cookie\""),
            ("Set-Cookie", "a=b"),
        ];
        let stored = judge(&[], 200, &head, &CacheParameters::default()).unwrap();
        assert!(stored.withholds(b"set-COOKIE") && !stored.withholds(b"Content-Type"));
    }

    #[test]
    fn fields_of_the_connection_and_of_proxies_are_not_stored_3_1() {
        let stored = stored(200, &[("Cache-Control", "max-age=60")]);
        for name in [
            "Connection",
            "Keep-Alive",
            "TE",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authenticate",
            "Age",
        ] {
            assert!(stored.withholds(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn an_answer_to_a_request_with_authorization_needs_a_word_that_allows_it_3_5() {
        let request = [("Authorization", "Basic eA==")];
        let refused = Some(NotStored::Credentials);
        check(&request, "max-age=60", refused);
        check(&request, "max-age=60, proxy-revalidate", refused);
        for allowed in [
            "max-age=60, public",
            "s-maxage=60",
            "max-age=60, must-revalidate",
        ] {
            check(&request, allowed, None);
        }
    }

    #[test]
    fn an_answer_to_a_request_with_cookies_needs_a_word_that_it_is_for_all() {
        let request = [("Cookie", "session=1")];
        let refused = Some(NotStored::Credentials);
        check(&request, "max-age=60", refused);
        check(&request, "max-age=60, must-revalidate", refused);
        check(&request, "max-age=60, public", None);
        let parameters = CacheParameters {
            cookies_are_credentials: false,
            ..CacheParameters::default()
        };
        assert!(
            judge(
                &request,
                200,
                &[("Cache-Control", "max-age=60")],
                &parameters
            )
            .is_ok()
        );
    }

    #[test]
    fn an_answer_that_sets_cookies_is_not_stored_unless_without_them() {
        let head = [
            ("Cache-Control", "public, max-age=60"),
            ("Set-Cookie", "a=b"),
        ];
        let mut parameters = CacheParameters::default();
        let found = judge(&[], 200, &head, &parameters);
        assert_eq!(found, Err(NotStored::SetCookie));
        parameters.set_cookie = SetCookie::StoreWithout;
        assert!(
            judge(&[], 200, &head, &parameters)
                .unwrap()
                .withholds(b"Set-Cookie")
        );
    }

    #[test]
    fn an_answer_that_varies_by_everything_is_not_stored_4_1() {
        let head = [("Cache-Control", "max-age=60"), ("Vary", "*")];
        let found = judge(&[], 200, &head, &CacheParameters::default());
        assert_eq!(found, Err(NotStored::Vary));
    }

    #[test]
    fn a_body_beyond_the_bound_is_not_stored() {
        let parameters = CacheParameters::default();
        let judged = |bytes| {
            let head = [("Cache-Control", "max-age=60")];
            Stored::judge(&get(&[]), 200, &head, Some(bytes), RECEIVED, &parameters)
        };
        assert!(judged(parameters.body_bytes_max).is_ok());
        assert_eq!(judged(parameters.body_bytes_max + 1), Err(NotStored::Size));
    }

    #[test]
    fn what_would_never_be_used_is_not_stored_3() {
        check(&[], "max-age=0", Some(NotStored::NoUse));
        check(&[], "max-age=60, no-cache", Some(NotStored::NoUse));
        let judged =
            |status, head: &[(&str, &str)]| judge(&[], status, head, &CacheParameters::default());
        assert_eq!(judged(302, &[TAG]), Err(NotStored::NoUse));
        assert!(judged(200, &[TAG]).is_ok());
        assert!(judged(200, &[("Cache-Control", "max-age=0"), MODIFIED]).is_ok());
        let keeping = CacheParameters {
            stale: Duration::from_secs(60),
            ..CacheParameters::default()
        };
        assert!(judge(&[], 200, &[("Cache-Control", "max-age=0")], &keeping).is_ok());
        check(&[], "max-age=0, stale-while-revalidate=60", None);
        check(
            &[],
            "max-age=0, stale-while-revalidate=60, must-revalidate",
            Some(NotStored::NoUse),
        );
    }

    #[test]
    fn a_targeted_field_stands_in_for_cache_control_and_expires_rfc_9213() {
        let head = [
            ("CDN-Cache-Control", "max-age=60"),
            ("Cache-Control", "no-store"),
            ("Expires", "0"),
        ];
        let lifetime = stored(200, &head).lifetime();
        assert_eq!(lifetime.time, Duration::from_secs(60));
        let head = [
            ("CDN-Cache-Control", "must-revalidate"),
            ("Expires", "Fri, 27 Nov 2027 00:00:00 GMT"),
            TAG,
        ];
        assert_eq!(stored(200, &head).lifetime().by, LifetimeBy::Nothing);
        let head = [
            ("CDN-Cache-Control", "MAX-AGE=60"),
            ("Cache-Control", "no-store"),
        ];
        let found = judge(&[], 200, &head, &CacheParameters::default());
        assert_eq!(found, Err(NotStored::NoStore));
    }
}

mod using {
    use super::*;

    fn looked_up(
        request: &[(&str, &str)],
        head: &[(&str, &str)],
        second: u64,
        parameters: &CacheParameters,
    ) -> Lookup {
        let stored = judge(&[], 200, head, parameters).unwrap();
        look_up(
            &get(request),
            Found::Stored(&stored),
            parameters,
            at(second),
        )
    }

    /// After so many seconds.
    fn after(request: &[(&str, &str)], cache_control: &str, seconds: u64) -> Lookup {
        let head = [("Cache-Control", cache_control), TAG, MODIFIED];
        looked_up(request, &head, 1_000 + seconds, &CacheParameters::default())
    }

    #[track_caller]
    fn check_stale(lookup: Lookup, stale_until: Option<u64>) {
        let expected = Lookup::Fetch(Fetch {
            why: ForwardReason::Stale,
            fill: true,
            validate: true,
            stale_until: stale_until.map(|seconds| at(1_000 + seconds)),
        });
        assert_eq!(lookup, expected);
    }

    #[test]
    fn an_answer_is_fresh_while_its_age_is_below_its_lifetime_4_2() {
        assert_eq!(after(&[], "max-age=60", 59), Lookup::Fresh);
        check_stale(after(&[], "max-age=60", 60), None);
    }

    #[test]
    fn what_it_was_old_when_it_came_counts_4_2_3() {
        let head = [("Cache-Control", "max-age=60"), ("Age", "50"), TAG];
        let parameters = CacheParameters::default();
        assert_eq!(looked_up(&[], &head, 1_009, &parameters), Lookup::Fresh);
        check_stale(looked_up(&[], &head, 1_010, &parameters), None);
        let stored = stored(200, &head);
        assert_eq!(stored.age(at(1_009)), Duration::from_secs(59));
        assert_eq!(
            (
                stored.seconds_left(at(1_000)),
                stored.seconds_left(at(1_020))
            ),
            (10, -10)
        );
    }

    #[test]
    fn no_cache_is_never_used_without_asking_5_2_2_4() {
        check_stale(after(&[], "max-age=60, no-cache", 1), None);
        check_stale(
            after(
                &[],
                "max-age=60, no-cache, stale-if-error=60, stale-while-revalidate=60",
                1,
            ),
            None,
        );
    }

    #[test]
    fn without_anything_stored_the_origin_is_asked() {
        let parameters = CacheParameters::default();
        for (found, why) in [
            (Found::Nothing, ForwardReason::UriMiss),
            (Found::OtherVariants, ForwardReason::VaryMiss),
        ] {
            let expected = Lookup::Fetch(Fetch {
                why,
                fill: true,
                validate: false,
                stale_until: None,
            });
            assert_eq!(look_up(&get(&[]), found, &parameters, at(0)), expected);
        }
    }

    #[track_caller]
    fn check_pass(lookup: Lookup, expected: ForwardReason) {
        match lookup {
            Lookup::Fetch(Fetch {
                why,
                fill: false,
                validate: false,
                stale_until: None,
            }) => {
                assert_eq!(why, expected);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn other_methods_bodies_preconditions_and_upgrades_pass_by_the_cache_4() {
        let parameters = CacheParameters::default();
        let stored = stored(200, &[("Cache-Control", "max-age=60")]);
        let passed = |method: &[u8], head: &[(&str, &str)], body| {
            let request = CacheRequest::read(method, &head, body);
            look_up(&request, Found::Stored(&stored), &parameters, at(1_001))
        };
        check_pass(passed(b"POST", &[], true), ForwardReason::Method);
        check_pass(passed(b"OPTIONS", &[], false), ForwardReason::Method);
        check_pass(passed(b"GET", &[], true), ForwardReason::Bypass);
        check_pass(
            passed(b"GET", &[("Upgrade", "websocket")], false),
            ForwardReason::Bypass,
        );
        check_pass(
            passed(b"GET", &[("If-Match", "*")], false),
            ForwardReason::Bypass,
        );
        check_pass(
            passed(b"GET", &[("If-Unmodified-Since", "x")], false),
            ForwardReason::Bypass,
        );
        assert_eq!(passed(b"HEAD", &[], false), Lookup::Fresh);
    }

    #[test]
    fn a_head_that_finds_nothing_fills_nothing_nor_does_a_range() {
        let parameters = CacheParameters::default();
        let head = CacheRequest::read(b"HEAD", &[("a", "b")], false);
        check_pass(
            look_up(&head, Found::Nothing, &parameters, at(0)),
            ForwardReason::UriMiss,
        );
        let range = get(&[("Range", "bytes=0-1")]);
        check_pass(
            look_up(&range, Found::Nothing, &parameters, at(0)),
            ForwardReason::UriMiss,
        );
    }

    #[test]
    fn only_if_cached_gets_what_is_stored_or_504_5_2_1_7() {
        let request = [("Cache-Control", "only-if-cached")];
        assert_eq!(after(&request, "max-age=60", 1), Lookup::Fresh);
        assert_eq!(after(&request, "max-age=60", 61), Lookup::NotCached);
        let parameters = CacheParameters::default();
        let found = look_up(&get(&request), Found::Nothing, &parameters, at(0));
        assert_eq!(found, Lookup::NotCached);
    }

    #[test]
    fn who_says_who_he_is_gets_only_what_is_for_all() {
        for (head, allowed) in [
            ("max-age=60", false),
            ("max-age=60, public", true),
            ("s-maxage=60", true),
        ] {
            for name in ["Authorization", "Cookie"] {
                let lookup = after(&[(name, "x")], head, 1);
                assert_eq!(lookup == Lookup::Fresh, allowed, "{name} {head}");
            }
        }
        assert_eq!(
            after(&[("Authorization", "x")], "max-age=60, must-revalidate", 1),
            Lookup::Fresh
        );
    }

    #[test]
    fn a_client_has_the_origin_asked_only_where_it_may_5_2_1() {
        let heeding = CacheParameters {
            heed_clients: true,
            ..CacheParameters::default()
        };
        let check = |name, value, head, expected| {
            let head = [("Cache-Control", head)];
            let request = [(name, value)];
            let lookup = looked_up(&request, &head, 1_010, &heeding);
            assert_eq!(lookup == Lookup::Fresh, expected, "{value}");
            let unheeded = looked_up(&request, &head, 1_010, &CacheParameters::default());
            assert_eq!(unheeded, Lookup::Fresh);
        };
        check("Cache-Control", "no-cache", "max-age=60", false);
        check("Cache-Control", "max-age=0", "max-age=60", false);
        check("Cache-Control", "max-age=9", "max-age=60", false);
        check("Cache-Control", "max-age=10", "max-age=60", true);
        check("Pragma", "no-cache", "max-age=60", false);
        check("Cache-Control", "max-age=0", "max-age=60, immutable", true);
        check("Cache-Control", "no-cache", "max-age=60, immutable", false);
    }

    #[test]
    fn stale_while_revalidate_serves_within_its_window_rfc_5861() {
        let head = "max-age=60, stale-while-revalidate=30";
        assert_eq!(after(&[], head, 59), Lookup::Fresh);
        let Lookup::StaleWhileRevalidate(fetch) = after(&[], head, 89) else {
            panic!("within the window");
        };
        assert!(fetch.fill && fetch.validate);
        check_stale(after(&[], head, 90), None);
    }

    #[test]
    fn who_wants_nothing_stored_or_nothing_old_gets_nothing_stale_without_need() {
        let head = "max-age=60, stale-while-revalidate=30";
        for directive in ["no-store", "no-cache"] {
            let request = [("Cache-Control", directive)];
            let lookup = after(&request, head, 89);
            let fills = directive != "no-store";
            assert!(
                matches!(lookup, Lookup::Fetch(fetch) if fetch.fill == fills),
                "{directive}: {lookup:?}"
            );
        }
        let only = [("Cache-Control", "only-if-cached")];
        assert_eq!(after(&only, head, 89), Lookup::Stale);
        assert_eq!(after(&only, head, 90), Lookup::NotCached);
    }

    #[test]
    fn a_configured_window_counts_where_the_origin_says_nothing() {
        let parameters = CacheParameters {
            stale_while_revalidate: Duration::from_secs(30),
            ..CacheParameters::default()
        };
        let after = |cache_control, seconds: u64| {
            let head = [("Cache-Control", cache_control), TAG];
            let lookup = looked_up(&[], &head, 1_000 + seconds, &parameters);
            matches!(lookup, Lookup::StaleWhileRevalidate(_))
        };
        assert!(after("max-age=60", 80));
        assert!(!after("max-age=60, stale-while-revalidate=10", 80));
        assert!(!after("max-age=60, stale-while-revalidate=0", 61));
        assert!(!after("s-maxage=60", 61));
    }

    #[test]
    fn stale_if_error_allows_until_its_end_rfc_5861() {
        let head = "max-age=60, stale-if-error=300";
        check_stale(after(&[], head, 60), Some(360));
        check_stale(after(&[], head, 359), Some(360));
        check_stale(after(&[], head, 360), None);
    }

    #[test]
    fn an_origin_is_spared_as_configured_and_never_by_what_it_allows_for_failures() {
        let check = |cache_control, stale, expected: Option<u64>| {
            let parameters = CacheParameters {
                stale: Duration::from_secs(stale),
                ..CacheParameters::default()
            };
            let stored = judge(
                &[],
                200,
                &[("Cache-Control", cache_control), TAG],
                &parameters,
            );
            let until = stored.unwrap().spared_until(&parameters);
            assert_eq!(
                until,
                expected.map(|seconds| at(1_000 + seconds)),
                "{cache_control}"
            );
        };
        check("max-age=60", 30, Some(90));
        check("max-age=60, stale-if-error=600", 30, Some(90));
        check("max-age=60, stale-if-error=600", 0, Some(60));
        check("max-age=60, stale-if-error=0", 30, Some(60));
        check("max-age=60, must-revalidate", 30, Some(60));
        check("s-maxage=60", 30, Some(60));
        check("max-age=60, no-cache", 30, None);
    }

    #[test]
    fn who_waits_gets_nothing_that_each_use_needs_the_origins_word_for_4() {
        for (cache_control, expected) in [
            ("max-age=60", true),
            ("max-age=0", true),
            ("max-age=60, must-revalidate", true),
            ("max-age=0, must-revalidate", false),
            ("max-age=0, proxy-revalidate", false),
            ("s-maxage=0", false),
            ("s-maxage=0, stale-while-revalidate=60", true),
            ("s-maxage=0, stale-if-error=60", true),
            ("s-maxage=0, stale-while-revalidate=0", false),
            (
                "s-maxage=0, must-revalidate, stale-while-revalidate=60",
                false,
            ),
            ("max-age=60, no-cache", false),
        ] {
            let stored = stored(200, &[("Cache-Control", cache_control), TAG]);
            assert_eq!(
                stored.is_for_waiters(at(1_000)),
                expected,
                "{cache_control}"
            );
        }
    }

    #[test]
    fn configured_stale_allows_unless_the_origin_forbids_4_2_4() {
        let parameters = CacheParameters {
            stale: Duration::from_secs(600),
            ..CacheParameters::default()
        };
        let check = |cache_control, expected| {
            let head = [("Cache-Control", cache_control), TAG];
            check_stale(looked_up(&[], &head, 1_060, &parameters), expected);
        };
        check("max-age=60", Some(660));
        check("max-age=60, stale-if-error=100", Some(660));
        check("max-age=60, stale-if-error=1000", Some(1_060));
        check("max-age=60, stale-if-error=0", None);
        check("max-age=60, must-revalidate", None);
        check("max-age=60, proxy-revalidate", None);
        check("max-age=60, must-revalidate, stale-if-error=100", None);
        check("max-age=60, no-cache", None);
        check("s-maxage=60", None);
        check("s-maxage=60, stale-if-error=100", Some(160));
    }

    #[test]
    fn what_was_stale_when_it_came_is_no_longer_allowed_for_it() {
        let parameters = CacheParameters {
            stale: Duration::from_secs(600),
            ..CacheParameters::default()
        };
        let head = [("Cache-Control", "max-age=60"), ("Age", "160"), TAG];
        check_stale(looked_up(&[], &head, 1_000, &parameters), Some(500));
    }

    #[test]
    fn only_failures_of_the_origin_are_replaced_rfc_5861() {
        let failures = (100..600).filter(|&status| is_failure(status));
        assert!(failures.eq([500, 502, 503, 504]));
        assert!((100..600).all(|status| is_passing(status) || !is_failure(status)));
        assert!(is_passing(429) && !is_passing(403) && !is_passing(501));
    }

    #[test]
    fn validation_asks_by_tag_and_date_4_3_1() {
        let stored = stored(200, &[TAG, MODIFIED]);
        let asked = stored.conditions().collect::<Vec<_>>();
        let expected: [(&str, &[u8]); 2] = [
            ("If-None-Match", TAG.1.as_bytes()),
            ("If-Modified-Since", MODIFIED.1.as_bytes()),
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_request_with_no_store_neither_fills_nor_validates() {
        let request = [("Cache-Control", "no-store")];
        match after(&request, "max-age=60", 61) {
            Lookup::Fetch(fetch) => assert!(!fetch.fill && !fetch.validate),
            other => panic!("{other:?}"),
        }
        let lookup = after(&request, "max-age=60, stale-while-revalidate=9", 61);
        assert!(matches!(lookup, Lookup::Fetch(fetch) if !fetch.fill && !fetch.validate));
    }
}

mod freshening {
    use super::*;

    const OLD: [(&str, &str); 6] = [
        ("Cache-Control", "max-age=60"),
        ("Date", "Thu, 26 Nov 2026 00:00:00 GMT"),
        ("ETag", "\"a\""),
        ("Content-Length", "5"),
        ("Age", "7"),
        ("X-Kept", "1"),
    ];

    fn freshen(update: &[(&str, &str)]) -> Freshened {
        let stored = stored(200, &OLD);
        let merged = Merged {
            stored: &OLD,
            update: &update,
        };
        stored.freshen(&get(&[]), &merged, RECEIVED, &CacheParameters::default())
    }

    #[test]
    fn a_304_makes_it_fresh_again_with_the_new_fields_4_3_4() {
        match freshen(&[TAG, ("Cache-Control", "max-age=90")]) {
            Freshened::Updated(stored) => {
                assert_eq!(stored.fresh_until(), at(1_090));
                assert_eq!(stored.age(at(1_000)), Duration::ZERO);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_are_replaced_but_for_those_that_describe_the_body_3_2() {
        let update: &[(&str, &str)] = &[
            ("x-new", "2"),
            ("content-length", "0"),
            ("cache-control", "max-age=1"),
            ("CACHE-CONTROL", "public"),
        ];
        let merged = Merged {
            stored: &OLD,
            update: &update,
        };
        let fields = merged
            .fields()
            .map(|(name, value)| [name, b"=", value].concat())
            .collect::<Vec<_>>();
        let expected: [&[u8]; 6] = [
            b"ETag=\"a\"",
            b"Content-Length=5",
            b"X-Kept=1",
            b"x-new=2",
            b"cache-control=max-age=1",
            b"CACHE-CONTROL=public",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_304_with_another_validator_is_about_another_answer_4_3_4() {
        assert_eq!(freshen(&[("ETag", "\"b\"")]), Freshened::Other);
        assert_eq!(freshen(&[("ETag", "b")]), Freshened::Other);
        assert!(matches!(
            freshen(&[("ETag", "W/\"a\"")]),
            Freshened::Updated(_)
        ));
        assert!(matches!(freshen(&[]), Freshened::Updated(_)));
        let by_date = [("Cache-Control", "max-age=60"), MODIFIED];
        let stored = stored(200, &by_date);
        let other = [("Last-Modified", "Fri, 27 Nov 2026 00:00:00 GMT")];
        let merged = Merged {
            stored: &by_date,
            update: &other,
        };
        let freshened = stored.freshen(&get(&[]), &merged, RECEIVED, &CacheParameters::default());
        assert_eq!(freshened, Freshened::Other);
    }

    #[test]
    fn a_304_that_forbids_storing_is_used_once_and_dropped() {
        let freshened = freshen(&[("Cache-Control", "private")]);
        assert_eq!(freshened, Freshened::Drop(NotStored::Private));
    }
}
