package telemetry

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
)

func fullJournal() *JournalState {
	s := &JournalState{Lag: 1500 * time.Millisecond, Reopens: 7}
	s.Journal = journal.Stats{
		State: journal.StateOK, Received: journal.Position{Timeline: 2, Offset: 9100},
		Durable: journal.Position{Timeline: 2, Offset: 9000}, Batches: 10, StreamBytes: 8000,
		Fsyncs: 3, FsyncTotal: 12 * time.Millisecond, DiskErrors: 1, Segments: 3,
		SegmentBytes: 150, Bases: 2, BaseBytes: 70, Timelines: 2, Gaps: 1, Incidents: 1,
		Oldest: time.Unix(1_700_000_000, 0), DiskPercent: 42.5, TimeToFull: time.Hour,
	}
	s.LastEvents[EventDeletes] = 12
	s.Journal.Over, s.Aside = 77, time.Unix(1_700_000_001, 0)
	s.Journal.FsyncCounts[1], s.Journal.FsyncCounts[journal.NumFsyncCounts-1] = 2, 1
	s.Tap = tap.Stats{State: tap.Streaming, Covered: true, FullResyncs: 4, BaseErrors: 1, BaseFailing: 3,
		BacklogTime: time.Minute}
	return s
}

func TestJournalMetrics(t *testing.T) {
	body := scrape(t, newTelemetry(t, Options{}, &fakeProxy{snap: fullSnapshot()}))
	for _, want := range []string{
		"holdfast_journal_attached 1", "holdfast_journal_covered 1", "holdfast_journal_failed 0",
		"holdfast_journal_base_failing 3", "holdfast_journal_over_bytes 77",
		"holdfast_journal_reopens_total 7", `holdfast_journal_events_total{kind="flush"} 0`, `holdfast_journal_last_event{kind="deletes"} 12`,
		"holdfast_journal_lag_bytes 100", "holdfast_journal_lag_seconds 1.5",
		"holdfast_journal_durable_offset 9000", "holdfast_journal_stream_bytes_total 8000",
		`holdfast_journal_fsync_duration_seconds_bucket{le="0.0001"} 2`,
		`holdfast_journal_fsync_duration_seconds_bucket{le="5"} 2`,
		`holdfast_journal_fsync_duration_seconds_bucket{le="+Inf"} 3`,
		"holdfast_journal_fsync_duration_seconds_sum 0.012",
		`holdfast_journal_size_bytes{kind="bases"} 70`, "holdfast_journal_disk_used_ratio 0.425",
		"holdfast_journal_time_to_full_seconds 3600", "holdfast_journal_backlog_seconds 60",
		"holdfast_journal_moved_aside_timestamp_seconds 1.700000001e+09",
		"holdfast_journal_oldest_timestamp_seconds 1.7e+09",
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
}

func TestNoJournalNoMetrics(t *testing.T) {
	snap := fullSnapshot()
	snap.Journal = nil
	if body := scrape(t, newTelemetry(t, Options{}, &fakeProxy{snap: snap})); strings.Contains(
		body, "holdfast_journal") {
		t.Error(body)
	}
}

func TestDegradedIsReady(t *testing.T) {
	f := &fakeProxy{snap: fullSnapshot(), notes: []string{"journal: a", "journal: b"}}
	code, body := get(t, newTelemetry(t, Options{}, f).Handler(), "/readyz")
	if code != http.StatusOK || body != "ready\ndegraded: journal: a\ndegraded: journal: b\n" {
		t.Errorf("%d %q", code, body)
	}
}
