// Package telemetry declares every metric and span of the proxy, once, and serves them: /metrics in
// the Prometheus format, /healthz and /readyz, and traces over OTLP/HTTP. It counts nothing itself
// and decides nothing: the proxy implements Source and Readiness, and chooses the sampled commands.
//
// # Cost
//
// The data path must pay nearly nothing. So an event loop counts in plain memory of its own
// (Counters), without atomics. Only a scrape takes a copy on the loop, and turns it into
// OpenTelemetry data off the loop. A sampled span is one channel send that never waits.
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
//	holdfast_sessions_held                           gauge      -                     those whose command waits for a way to the server (upstream.hold)
//	holdfast_holds_expired_total                     counter    -                     commands that waited for one until upstream.hold was over
//	holdfast_sessions_accepted_total                 counter    -                     client connections accepted
//	holdfast_sessions_closed_total                   counter    reason                client connections closed
//	holdfast_session_pauses_total                    counter    -                     times that reading a client stopped because of pressure
//	holdfast_client_io_bytes_total                   counter    direction             bytes read from clients (in) and written to them (out)
//	holdfast_client_buffer_bytes                     gauge      -                     input and output held for clients
//	holdfast_protocol_errors_total                   counter    -                     malformed frames from clients
//	holdfast_upstream_up                             gauge      -                     1 when the upstream answers
//	holdfast_upstream_info                           gauge      server version role   always 1; absent until the upstream was seen
//	holdfast_upstream_doubt                          gauge      -                     1 while its place as the primary is in doubt, so writes wait or are refused; absent with one address
//	holdfast_upstream_moves_total                    counter    -                     changes of the primary that were followed; likewise
//	holdfast_sentinels                               gauge      state                 sentinels that count: heard, silent; absent without sentinels
//	holdfast_candidates                              gauge      state                 servers of upstream.address: primary, replica, silent; absent where it is one
//	holdfast_upstream_io_bytes_total                 counter    direction             bytes read from links (in) and written to them (out)
//	holdfast_links                                   gauge      kind state            upstream connections: shared ready, pinned idle or busy, connecting
//	holdfast_links_opened_total                      counter    kind                  upstream connections that became usable
//	holdfast_links_broken_total                      counter    kind                  those lost to an error or closed by the upstream
//	holdfast_links_failed_total                      counter    -                     dials and handshakes that failed
//	holdfast_links_refused_total                     counter    -                     commands refused because limits.pinned_links was used up
//	holdfast_links_timed_out_total                   counter    -                     not opened in time for want of room under a limit
//	holdfast_links_waiting                           gauge      -                     those that wait, unopened, for such room
//	holdfast_link_buffer_bytes                       gauge      -                     held for links and not yet sent
//	holdfast_reply_errors_total                      counter    -                     malformed replies from the upstream; each closes a link
//	holdfast_loop_turns_total                        counter    loop                  rounds of an event loop
//	holdfast_loop_reads_total                        counter    loop                  its read calls
//	holdfast_loop_writes_total                       counter    loop                  its write calls
//	holdfast_loop_sessions                           gauge      loop                  its client connections
//	holdfast_journal_attached                        gauge      -                     1 while the journal follows the upstream; without a journal, none of these
//	holdfast_journal_covered                         gauge      -                     1 when a snapshot leads to the present, so that it can be restored
//	holdfast_journal_failed                          gauge      -                     1 while the journal has failed; it is opened again when its disk works again
//	holdfast_journal_reopens_total                   counter    -                     times that it was opened again after it had failed
//	holdfast_journal_scrubs_total                    counter    -                     times that bases and sealed segments were read again
//	holdfast_journal_damaged_files                   gauge      -                     files that the last of them found damaged
//	holdfast_journal_moved_aside_timestamp_seconds   gauge      -                     when a damaged folder was moved aside; absent without one, or when it is gone
//	holdfast_journal_timeline                        gauge      -                     number of the current timeline
//	holdfast_journal_received_offset                 gauge      -                     replication offset up to which bytes have arrived
//	holdfast_journal_durable_offset                  gauge      -                     replication offset up to which they are fsynced
//	holdfast_journal_lag_bytes                       gauge      -                     arrived and not fsynced yet
//	holdfast_journal_lag_seconds                     gauge      -                     for how long the journal is behind: not attached, or with bytes not fsynced
//	holdfast_journal_stream_bytes_total              counter    -                     bytes of the stream that became durable
//	holdfast_journal_batches_total                   counter    -                     batches that became durable; stream bytes by batches is the batch size
//	holdfast_journal_fsync_duration_seconds          histogram  -                     how long an fsync took
//	holdfast_journal_disk_errors_total               counter    -                     writes and fsyncs that failed, also where a way round was found
//	holdfast_journal_size_bytes                      gauge      kind                  on disk: segments, bases
//	holdfast_journal_segments                        gauge      -                     files of the log
//	holdfast_journal_bases                           gauge      -                     snapshots
//	holdfast_journal_base_errors_total               counter    -                     snapshots that were begun and did not succeed
//	holdfast_journal_base_failing                    gauge      -                     how many snapshots in a row did not succeed
//	holdfast_journal_over_bytes                      gauge      -                     above journal.retention.bytes, kept for the present depends on them
//	holdfast_journal_oldest_timestamp_seconds        gauge      -                     the oldest moment that can be restored; absent without one
//	holdfast_journal_timelines                       gauge      -                     histories
//	holdfast_journal_gaps                            gauge      -                     stretches that are missing
//	holdfast_journal_incidents                       gauge      -                     lost tails: writes that the upstream lost and the journal holds
//	holdfast_journal_verdicts                        gauge      verdict               times that the upstream came back: nothing_lost, lost, in_question
//	holdfast_journal_incidents_open                  gauge      verdict               those that are not settled yet
//	holdfast_journal_events_total                    counter    kind                  events that destroyed data: flush, trash (moved aside), deletes (many, one by one), expired (many more than usual)
//	holdfast_journal_last_event                      gauge      kind                  number of the newest of these events, for proxy restore --event; absent before the first
//	holdfast_journal_held                            gauge      -                     1 while such an incident keeps routes that demand the journal from their proof
//	holdfast_journal_full_resyncs_total              counter    -                     times that the upstream could not continue the journal
//	holdfast_journal_disk_used_ratio                 gauge      -                     of the file system that holds the journal
//	holdfast_journal_time_to_full_seconds            gauge      -                     until journal.disk.stop at the present rate; absent if unknown or never
//	holdfast_journal_backlog_seconds                 gauge      -                     time that the upstream's replication backlog covers at the highest rate seen; absent if unknown
//	holdfast_trash_databases                         gauge      state                 that the trash has for flushes: used, free; absent without a trash
//	holdfast_budget_deleted_total                    counter    budget                keys deleted, as a delete budget counts them
//	holdfast_budget_throttled_total                  counter    budget                commands that a delete budget refused
//	holdfast_budget_trips_total                      counter    budget                times that a delete budget was used up
//	holdfast_audit_lines_total                       counter    outcome               lines of the audit log: written, dropped (queue full), failed (disk)
//	holdfast_route_held                              gauge      route                 replies held now until their write is proven; without routes, none of these
//	holdfast_route_commands_total                    counter    route outcome         commands that a route asks a proof for: confirmed, timeout, primary, link, failed, gone, passed, rejected
//	holdfast_route_late_total                        counter    route                 those of outcome timeout whose proof came after all
//	holdfast_hold_duration_seconds                   histogram  demand                for how long replies were held, confirmed or not
//	holdfast_fences_total                            counter    kind outcome          fences: proven, short (too few in time), error, primary, broken
//	holdfast_fence_proven_total                      counter    kind                  held replies that fences have proven; by fences it is how many share one
//	holdfast_fence_duration_seconds                  histogram  kind                  from a fence's beginning to its end
//	holdfast_fences_in_flight                        gauge      kind                  fences that have begun and not ended
//	holdfast_fence_waiting                           gauge      kind                  held replies that no fence of the kind has proven yet
//	holdfast_fence_oldest_seconds                    gauge      kind                  for how long the oldest of these has waited
//	holdfast_proof_available                         gauge      kind                  1 while the proofs of a kind that a route asks for can be had
//	holdfast_proof_unavailable_seconds_total         counter    kind                  for how long they could not be had
//	holdfast_handshakes_total                        counter    listener outcome      of clients, by TLS and the PROXY protocol: ok, plain (no TLS), client_certificate, refused_by_client, no_common_version, left, timeout, crowded, untrusted, no_proxy_header, broken
//	holdfast_certificate_not_after_timestamp_seconds gauge      place                 when it, or the last authority of its place, ends; absent without either
//	holdfast_certificate_unusable                    gauge      place                 1 while its files, or a user's password file, are unusable and the previous ones are in force
//	holdfast_takeovers_total                         counter    side outcome          takeovers by another process: the old one's side and the new one's; done, refused (nothing has changed), failed, left
//	holdfast_config_reloads_total                    counter    outcome               reloads of the configuration: ok, failed
//	holdfast_config_last_reload_timestamp_seconds    gauge      -                     when the configuration in force was loaded
//
// The table is wider than 100 columns because its readers use `go doc`. A test compares it with the
// output of /metrics.
//
// # Adding a metric
//
// A field in Counters (and in its addTotals), an entry in proxyInstruments or in the list of its
// part, a line above. The tests fail when one of the three is missing.
//
// A route's outcomes count a command once: confirmed; timeout, primary (the primary or its role
// changed), link (the link broke) and failed (the proof became impossible), all answered
// -UNCONFIRMED; gone (the client left before); passed and rejected (the proof was unavailable, and
// the command was sent without it, or refused). A command on several routes counts for the first of
// them in the file. A kind of proof is "journal", "replicas 1", "aof local" and so on; a demand
// joins them.
package telemetry
