// Package telemetry declares every metric and span of the proxy, once, and serves them: /metrics
// in the Prometheus format, /healthz and /readyz, and traces over OTLP/HTTP. It counts nothing
// itself and decides nothing: the proxy implements Source and Readiness, and says which commands
// are sampled.
//
// # Cost
//
// The data path must pay nearly nothing. So an event loop counts in plain memory of its own
// (Counters), without atomics; only when someone scrapes is a copy taken on the loop and turned
// into OpenTelemetry data beside it. A sampled span is one channel send that never waits.
//
// # Concurrency
//
// Counters and Histogram belong to one goroutine. Telemetry and Server are safe for concurrent
// use.
//
// # Metrics
//
// The names are Prometheus's; a histogram also has _bucket, _sum and _count. A command or class
// that never occurred has no series. The process and Go runtime metrics (process_*, go_*) have
// their usual names and are not listed.
//
//	name                                             type       attributes            meaning
//	holdfast_build_info                              gauge      version goversion     always 1
//	holdfast_ready                                   gauge      -                     1 when /readyz answers 200
//	holdfast_snapshot_errors_total                   counter    -                     scrapes that the event loops did not answer in time
//	holdfast_spans_total                             counter    outcome               trace spans: exported, dropped (queue full), failed
//	holdfast_commands_total                          counter    command outcome       finished commands; the sum over outcomes is all of them
//	holdfast_commands_observed_total                 counter    command               those that a rule would have refused, had it been enforced
//	holdfast_command_duration_seconds                histogram  class                 from the frame read to the reply complete
//	holdfast_commands_outstanding                    gauge      -                     sent or queued, not yet answered
//	holdfast_rule_hits_total                         counter    rule action           commands that a rule decided: allowed, denied, observed, rewritten, trashed, held, approved, throttled
//	holdfast_sessions                                gauge      -                     client connections
//	holdfast_sessions_paused                         gauge      -                     those not read at the moment, because of pressure
//	holdfast_sessions_accepted_total                 counter    -                     client connections accepted
//	holdfast_sessions_closed_total                   counter    reason                client connections closed
//	holdfast_session_pauses_total                    counter    -                     times that reading a client stopped because of pressure
//	holdfast_client_io_bytes_total                   counter    direction             bytes read from clients (in) and written to them (out)
//	holdfast_client_buffer_bytes                     gauge      -                     input and output held for clients
//	holdfast_protocol_errors_total                   counter    -                     malformed frames from clients
//	holdfast_upstream_up                             gauge      -                     1 when the upstream answers
//	holdfast_upstream_info                           gauge      server version role   always 1; absent until the upstream was seen
//	holdfast_upstream_io_bytes_total                 counter    direction             bytes read from links (in) and written to them (out)
//	holdfast_links                                   gauge      kind state            upstream connections: shared ready, pinned idle or busy, connecting
//	holdfast_links_opened_total                      counter    kind                  upstream connections that became usable
//	holdfast_links_broken_total                      counter    kind                  those lost to an error or closed by the upstream
//	holdfast_links_failed_total                      counter    -                     dials and handshakes that failed
//	holdfast_link_buffer_bytes                       gauge      -                     held for links and not yet sent
//	holdfast_reply_errors_total                      counter    -                     malformed replies from the upstream; each closes a link
//	holdfast_loop_turns_total                        counter    loop                  rounds of an event loop
//	holdfast_loop_reads_total                        counter    loop                  its read calls
//	holdfast_loop_writes_total                       counter    loop                  its write calls
//	holdfast_loop_sessions                           gauge      loop                  its client connections
//	holdfast_config_reloads_total                    counter    outcome               reloads of the configuration: ok, failed
//	holdfast_config_last_reload_timestamp_seconds    gauge      -                     when the configuration in force was loaded
//
// The table is longer than 100 columns because `go doc` is where it is read, and it is checked
// by a test against what /metrics shows.
//
// # Adding a metric
//
// A field in Counters (and in its addTotals), an entry in proxyInstruments, a line above. The
// tests fail when one of the three is missing.
package telemetry
