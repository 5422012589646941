package telemetry

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"holdfast/journal"
	"holdfast/journal/tap"
)

// JournalState is the state of the journal and its tap at one moment.
type JournalState struct {
	Journal journal.Stats
	Tap     tap.Stats
	Lag     time.Duration // how long it has been behind; 0: not behind
	Reopens int64         // times that the journal was reopened after a failure
	Scrubs  int64         // rounds of reading all files again
	Damaged int64         // damaged files found by the last round
	Aside   time.Time     // when a damaged folder was moved aside; zero: no such folder
	Held    bool          // an open incident blocks the routes' proof
	// Events counts the events begun since the start, by EventKinds.
	Events [len(EventKinds)]int64
	// LastEvents are the numbers of the newest ones, by which a restore names them; 0: none.
	LastEvents [len(EventKinds)]int64
}

// EventKinds are the kinds of events that the metrics distinguish.
var EventKinds = [...]string{"flush", "trash", "deletes", "expired"}

// Their indexes.
const (
	EventFlush   = iota // a flush or a swap of databases
	EventTrash          // the trash moved keys aside
	EventDeletes        // many keys one by one, by commands or by eviction
	EventExpired        // many keys by their deadlines
)

func eventPoints(v *view, p *points) {
	for i, kind := range EventKinds {
		p.add(v.snap.Journal.Events[i], attribute.String("kind", kind))
	}
}

func lastEventPoints(v *view, p *points) {
	for i, kind := range EventKinds {
		if n := v.snap.Journal.LastEvents[i]; n > 0 {
			p.add(n, attribute.String("kind", kind))
		}
	}
}

// journalInstruments are shown by proxies that keep a journal.
var journalInstruments = []instrument{
	{name: "holdfast.journal.attached", kind: gauge,
		help:    "1 while the journal follows the upstream.",
		collect: ofTap(func(t *tap.Stats) int64 { return flag(t.State == tap.Streaming) })},
	{name: "holdfast.journal.covered", kind: gauge,
		help:    "1 when a snapshot leads to the present, so that it can be restored.",
		collect: ofTap(func(t *tap.Stats) int64 { return flag(t.Covered) })},
	{name: "holdfast.journal.failed", kind: gauge,
		help:    "1 while the journal has failed; it is opened again when its disk works again.",
		collect: ofJournal(func(j *journal.Stats) int64 { return flag(j.Err != nil) })},
	{name: "holdfast.journal.reopens", kind: counter,
		help:    "Times that the journal was opened again after it had failed.",
		collect: one(func(v *view) int64 { return v.snap.Journal.Reopens })},
	{name: "holdfast.journal.scrubs", kind: counter,
		help:    "Times that bases and sealed segments were read again.",
		collect: one(func(v *view) int64 { return v.snap.Journal.Scrubs })},
	{name: "holdfast.journal.damaged_files", kind: gauge,
		help:    "Files that the last scrub found damaged.",
		collect: one(func(v *view) int64 { return v.snap.Journal.Damaged })},
	{name: "holdfast.journal.moved_aside.timestamp", unit: unitSeconds, kind: gauge,
		help:    "When a damaged folder was moved aside, in seconds since 1970.",
		collect: journalAside},
	{name: "holdfast.journal.timeline", kind: gauge,
		help:    "Number of the current timeline.",
		collect: ofJournal(func(j *journal.Stats) int64 { return int64(j.Received.Timeline) })},
	{name: "holdfast.journal.received_offset", kind: gauge,
		help:    "Replication offset up to which bytes have arrived.",
		collect: ofJournal(func(j *journal.Stats) int64 { return j.Received.Offset })},
	{name: "holdfast.journal.durable_offset", kind: gauge,
		help:    "Replication offset up to which bytes are fsynced.",
		collect: ofJournal(func(j *journal.Stats) int64 { return j.Durable.Offset })},
	{name: "holdfast.journal.lag", unit: unitBytes, kind: gauge,
		help:    "Bytes that have arrived and are not fsynced yet.",
		collect: ofJournal(journalLag)},
	{name: "holdfast.journal.lag", unit: unitSeconds, kind: gauge,
		help: "For how long the journal is behind: not attached, or with bytes not fsynced.",
		collect: seconds(func(s *JournalState) (time.Duration, bool) {
			return s.Lag, true
		})},
	{name: "holdfast.journal.stream", unit: unitBytes, kind: counter,
		help:    "Bytes of the replication stream that became durable.",
		collect: ofJournal(func(j *journal.Stats) int64 { return j.StreamBytes })},
	{name: "holdfast.journal.batches", kind: counter,
		help:    "Batches that became durable, each with one fsync.",
		collect: ofJournal(func(j *journal.Stats) int64 { return int64(j.Batches) })},
	{name: "holdfast.journal.fsync.duration", unit: unitSeconds, kind: histogram,
		help:    "How long an fsync of the journal took.",
		collect: fsyncPoints},
	{name: "holdfast.journal.disk.errors", kind: counter,
		help:    "Writes and fsyncs that failed, also where a way round was found.",
		collect: ofJournal(func(j *journal.Stats) int64 { return int64(j.DiskErrors) })},
	{name: "holdfast.journal.size", unit: unitBytes, kind: gauge,
		help:    "Bytes on disk, by kind: segments, bases.",
		collect: journalSize},
	{name: "holdfast.journal.segments", kind: gauge,
		help:    "Files of the log.",
		collect: ofJournal(func(j *journal.Stats) int64 { return int64(j.Segments) })},
	{name: "holdfast.journal.bases", kind: gauge,
		help:    "Snapshots.",
		collect: ofJournal(func(j *journal.Stats) int64 { return int64(j.Bases) })},
	{name: "holdfast.journal.base.errors", kind: counter,
		help:    "Snapshots that were begun and did not succeed.",
		collect: ofTap(func(t *tap.Stats) int64 { return t.BaseErrors })},
	{name: "holdfast.journal.base.failing", kind: gauge,
		help:    "How many snapshots in a row did not succeed.",
		collect: ofTap(func(t *tap.Stats) int64 { return t.BaseFailing })},
	{name: "holdfast.journal.over", unit: unitBytes, kind: gauge,
		help: "Bytes above journal.retention.bytes that are kept, for the present depends on " +
			"them.",
		collect: ofJournal(func(j *journal.Stats) int64 { return j.Over })},
	{name: "holdfast.journal.oldest.timestamp", unit: unitSeconds, kind: gauge,
		help:    "The oldest moment that can be restored, in seconds since 1970.",
		collect: journalOldest},
	{name: "holdfast.journal.timelines", kind: gauge,
		help:    "Histories in the journal.",
		collect: ofJournal(func(j *journal.Stats) int64 { return int64(j.Timelines) })},
	{name: "holdfast.journal.gaps", kind: gauge,
		help:    "Stretches that are missing.",
		collect: ofJournal(func(j *journal.Stats) int64 { return int64(j.Gaps) })},
	{name: "holdfast.journal.incidents", kind: gauge,
		help:    "Lost tails: what the upstream lost and the journal holds.",
		collect: ofJournal(func(j *journal.Stats) int64 { return int64(j.Incidents) })},
	{name: "holdfast.journal.verdicts", kind: gauge,
		help:    "Times that the upstream came back, by what it had lost.",
		collect: verdictPoints(func(v judged) int { return v.All })},
	{name: "holdfast.journal.incidents.open", kind: gauge,
		help:    "Those that are not settled yet.",
		collect: verdictPoints(func(v judged) int { return v.Open })},
	{name: "holdfast.journal.held", kind: gauge,
		help:    "1 while such an incident keeps routes that demand the journal from their proof.",
		collect: one(func(v *view) int64 { return flag(v.snap.Journal.Held) })},
	{name: "holdfast.journal.last_event", kind: gauge,
		help:    "Number of the newest event of a kind since the start, for proxy restore --event.",
		collect: lastEventPoints},
	{name: "holdfast.journal.events", kind: counter,
		help:    "Events that destroyed data, by kind: flush, trash, deletes, expired.",
		collect: eventPoints},
	{name: "holdfast.journal.full_resyncs", kind: counter,
		help:    "Times that the upstream could not continue the journal.",
		collect: ofTap(func(t *tap.Stats) int64 { return t.FullResyncs })},
	{name: "holdfast.journal.disk.used_ratio", kind: gauge,
		help: "Share of the file system that is taken.",
		collect: number(func(s *JournalState) (float64, bool) {
			return s.Journal.DiskPercent / 100, s.Journal.DiskPercent > 0
		})},
	{name: "holdfast.journal.time_to_full", unit: unitSeconds, kind: gauge,
		help: "Until journal.disk.stop is reached at the present rate.",
		collect: seconds(func(s *JournalState) (time.Duration, bool) {
			return s.Journal.TimeToFull, s.Journal.TimeToFull > 0
		})},
	{name: "holdfast.journal.backlog", unit: unitSeconds, kind: gauge,
		help: "What the upstream's replication backlog holds at the highest rate seen.",
		collect: seconds(func(s *JournalState) (time.Duration, bool) {
			return s.Tap.BacklogTime, s.Tap.BacklogTime > 0
		})},
}

func ofJournal(get func(j *journal.Stats) int64) collectFunc {
	return one(func(v *view) int64 { return get(&v.snap.Journal.Journal) })
}

func ofTap(get func(t *tap.Stats) int64) collectFunc {
	return one(func(v *view) int64 { return get(&v.snap.Journal.Tap) })
}

// number is one point that may be absent.
func number(get func(*JournalState) (float64, bool)) collectFunc {
	return func(v *view, p *points) {
		if n, ok := get(v.snap.Journal); ok {
			p.addFloat(n)
		}
	}
}

func seconds(get func(*JournalState) (time.Duration, bool)) collectFunc {
	return number(func(s *JournalState) (float64, bool) {
		d, ok := get(s)
		return d.Seconds(), ok
	})
}

func journalLag(j *journal.Stats) int64 {
	if j.Received.Timeline != j.Durable.Timeline {
		return j.Pending
	}
	return max(0, j.Received.Offset-j.Durable.Offset)
}

func journalSize(v *view, p *points) {
	j := &v.snap.Journal.Journal
	p.add(j.SegmentBytes, attribute.String("kind", "segments"))
	p.add(j.BaseBytes, attribute.String("kind", "bases"))
}

func journalOldest(v *view, p *points) {
	if t := v.snap.Journal.Journal.Oldest; !t.IsZero() {
		p.add(t.Unix())
	}
}

func journalAside(v *view, p *points) {
	if t := v.snap.Journal.Aside; !t.IsZero() {
		p.add(t.Unix())
	}
}

// fsyncBounds are the journal's in seconds.
var fsyncBounds = func() []float64 {
	b := make([]float64, len(journal.FsyncBounds))
	for i, d := range journal.FsyncBounds {
		b[i] = d.Seconds()
	}
	return b
}()

func fsyncPoints(v *view, p *points) {
	j := &v.snap.Journal.Journal
	p.histograms = append(p.histograms, metricdata.HistogramDataPoint[float64]{
		Count: j.Fsyncs, Sum: j.FsyncTotal.Seconds(),
		Bounds: fsyncBounds, BucketCounts: j.FsyncCounts[:],
	})
}

type judged = struct{ All, Open int }

// verdictPoints has one point for each verdict.
func verdictPoints(get func(judged) int) collectFunc {
	return func(v *view, p *points) {
		for _, name := range journal.Verdicts {
			p.add(int64(get(v.snap.Journal.Journal.Verdicts[name])),
				attribute.String("verdict", strings.ReplaceAll(string(name), " ", "_")))
		}
	}
}
