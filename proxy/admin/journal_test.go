package admin

import (
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC)

func fullJournal() *Journal {
	return &Journal{
		Dir: "/var/lib/holdfast/journal", State: "ok", Server: "127.0.0.1:6379",
		Attached: "streaming", Since: time.Hour, Restorable: true, Timeline: 2, Received: 9100,
		Durable: 9000, Quiet: 3 * time.Second, Segments: 3, SegmentBytes: 150 << 20, Bases: 2,
		BaseBytes: 1 << 30, Oldest: testTime, Gaps: 1, Incidents: 1, Fsyncs: 1000,
		FsyncMean: 150 * time.Microsecond, FsyncLast: 120 * time.Microsecond,
		FsyncMax: 20 * time.Millisecond, Batches: 1000, StreamBytes: 5 << 30, Rate: 1 << 20,
		BacklogSize: 600 << 20, BacklogTime: 10 * time.Minute, DiskPercent: 42.5,
		DiskFree: 100 << 30, TimeToFull: 240 * time.Hour, Attempts: 3, Continues: 1,
		FullResyncs: 2, BasesTaken: 4, BasesFailed: 1,
	}
}

func TestJournalInTrouble(t *testing.T) {
	text := strings.Join(journalLines(&Journal{
		State: "failed", Error: "write: input/output error", Attached: "connecting",
		LastError: "connection refused\x1b[2J", BaseRunning: true, Reopens: 2, DiskErrors: 3,
		FirstError: "fsync: input/output error", BaseError: "No such file\x07", BaseFailing: 3,
		BaseSince: testTime, Over: 5 << 30,
	}), "\n")
	for _, want := range []string{
		"failed       write: input/output error", "last error   connection refused?[2J",
		"disk errors  3, the first: fsync: input/output error", "reopened     2 times, after",
		"a base is being taken", "3 attempts: No such file?; 5.00GiB above retention.bytes", "since -", "rate         0B/s\n", "0B free\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestIncidentThatCouldNotBeCounted(t *testing.T) {
	got := incidentLines([]Incident{{Timeline: 1, From: 1, To: 2, Commands: -1}})
	if !strings.Contains(got[1], "unknown") {
		t.Error(got)
	}
}
