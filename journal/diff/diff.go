package diff

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
)

// ErrHistory means that the server is not on the compared history.
var ErrHistory = errors.New("the server is on another history than the journal")

// ErrBehind means that the journal does not follow the server.
var ErrBehind = errors.New("the journal does not follow the server")

// ErrGrowing means that the data set grows faster than it is read, so the comparison would not end.
var ErrGrowing = errors.New("the data set grows faster than it is compared")

// Kinds of differences, from the journal's point of view.
const (
	Missing  = "missing" // the journal has the key, the server does not
	Extra    = "extra"   // only the server has it
	Type     = "type"
	Value    = "value"
	Deadline = "deadline"
)

// A Difference is a key whose state on the server differs from the journal's.
type Difference struct {
	Key  keyspace.Key
	Kind string
	Last *replay.LastWrite // nil: the journal has no write of it
}

// An Open is a key that may differ.
type Open struct {
	Key keyspace.Key
	Why string
}

// Options configure a comparison. Follower, Source and Target are required.
type Options struct {
	Follower *replay.Follower  // stands at the journal's state
	Source   keyspace.Endpoint // the same server
	Target   keyspace.Endpoint // the server that is compared with it
	View     *journal.View     // the journal
	// Live says that the target keeps writing and that the journal follows it. Otherwise it stands
	// at the follower's offset.
	Live bool

	// Without, if not nil, says which databases are left out.
	Without func(db int) bool

	Keys   string // a glob; "": all
	Sample int64  // about so many keys, chosen at random; 0: all
	Pace   *keyspace.Pace
	Rate   float64 // keys per second; 0: any number. Of the keys that Pace does not count
	// Progress, if not nil, is called after each batch.
	Progress func(Progress)
}

// Progress is the state of a comparison.
type Progress struct {
	Looked  bool  // the live server's keys are done; now those that it may lack
	Keys    int64 // compared so far, or looked for
	Of      int64 // keys of the server, by its own count
	Differ  int64
	InDoubt int // keys that are compared again
}

// A Result is the outcome of a comparison.
type Result struct {
	Timeline  journal.TimelineID
	From, To  int64 // the journal's offsets at its beginning and at its end
	Compared  int64 // keys of the server
	Looked    int64 // keys of the journal looked up on the server
	Differ    int64
	List      []Difference // up to MaxListed
	Changing  []Open       // up to MaxListed
	Unknown   []Open       // likewise
	Unsettled int64        // changing or unknown
	Paused    time.Duration
}

// Bounds on memory.
const (
	MaxOpen   = 4096
	MaxListed = 100_000
	// A pass over keys ends with ErrGrowing at growth times the keys that were there at its
	// beginning, and some more.
	growth    = 3
	growthAll = 1_000_000
)

const (
	chunkKeys    = 256
	advanceEvery = 500 * time.Millisecond
)

// differ is a running comparison.
type differ struct {
	Options
	res            Result
	source, target *keyspace.Server
	open           []*doubt
	reported       map[keyspace.Key]bool
	advanced       time.Time
	seed           maphash.Seed
	share          uint64 // of the hashes, those below it are in the sample
	total          int64
	there          int64 // keys at the beginning
	most           int64 // keys of a pass
	looked         bool
}

// Run compares. Differences are no error.
func Run(ctx context.Context, o Options) (*Result, error) {
	d := &differ{Options: o, reported: make(map[keyspace.Key]bool), seed: maphash.MakeSeed(), advanced: time.Now()}
	d.res.Timeline, d.res.From = o.Follower.Plan().Point.Timeline.ID, o.Follower.Offset()
	var err error
	if d.source, err = keyspace.Open(ctx, o.Source); err != nil {
		return nil, err
	}
	defer d.source.Close()
	if d.target, err = keyspace.Open(ctx, o.Target); err != nil {
		return nil, err
	}
	defer d.target.Close()
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	if err := d.each(ctx, d.target, func(keys []keyspace.Key) error {
		return d.compare(ctx, keys)
	}); err != nil {
		return nil, err
	}
	d.looked = true
	if err := d.each(ctx, d.source, func(keys []keyspace.Key) error {
		return d.lookFor(ctx, keys)
	}); err != nil {
		return nil, err
	}
	if err := d.settle(ctx); err != nil {
		return nil, err
	}
	d.res.To, d.res.Paused = o.Follower.Offset(), o.Pace.Paused()
	return &d.res, d.findLast(ctx)
}

// prepare counts the keys, chooses the sample, and makes sure that the server is the journal's.
func (d *differ) prepare(ctx context.Context) error {
	total, err := keyTotal(ctx, d.target)
	if err != nil {
		return err
	}
	d.total, d.there, d.most = total, total, growth*total+growthAll
	d.share = ^uint64(0)
	if d.Sample > 0 && d.Sample < total {
		d.share = uint64(float64(d.Sample) / float64(total) * float64(^uint64(0)))
		d.total = d.Sample
	}
	if d.Live {
		_, err = d.offset(ctx)
	}
	return err
}

// offset is the live server's offset.
func (d *differ) offset(ctx context.Context) (int64, error) {
	if !d.Live {
		return d.Follower.Offset(), nil
	}
	id, offset, err := position(ctx, d.target)
	if tl, _ := d.View.Timeline(d.res.Timeline); err == nil && id != tl.ReplID {
		err = fmt.Errorf("%w: its replication id is %s, want %s", ErrHistory, id, tl.ReplID)
	}
	return offset, err
}

// each yields the keys of the sample in chunks of one database.
func (d *differ) each(ctx context.Context, s *keyspace.Server, fn func([]keyspace.Key) error) error {
	dbs, err := s.Databases(ctx)
	if err != nil {
		return err
	}
	if d.Without != nil {
		dbs = slices.DeleteFunc(dbs, d.Without)
	}
	if len(dbs) == 0 {
		return nil
	}
	var chunk []keyspace.Key
	scanned := int64(0)
	for k, err := range s.Keys(ctx, d.Keys, dbs...) {
		if err != nil {
			return err
		}
		if scanned++; scanned > d.most {
			return fmt.Errorf("%w: it had %d keys, and %d were read of it; compare a part of it, --keys or "+
				"--sample, or raise --rate", ErrGrowing, d.there, scanned)
		}
		if d.share != ^uint64(0) && maphash.Comparable(d.seed, k) > d.share {
			continue
		}
		if len(chunk) == chunkKeys || len(chunk) > 0 && chunk[0].DB != k.DB {
			if err := fn(chunk); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
		chunk = append(chunk, k)
	}
	if len(chunk) == 0 {
		return nil
	}
	return fn(chunk)
}

// compare compares a chunk of the live server's keys.
func (d *differ) compare(ctx context.Context, keys []keyspace.Key) error {
	if err := d.advance(ctx, false); err != nil {
		return err
	}
	doubts, err := d.look(ctx, keys)
	if err != nil {
		return err
	}
	d.res.Compared += int64(len(keys))
	return d.doubt(ctx, doubts)
}

// lookFor checks that the live server has keys of the journal. Missing ones are compared.
func (d *differ) lookFor(ctx context.Context, keys []keyspace.Key) error {
	if err := d.advance(ctx, false); err != nil {
		return err
	}
	began := time.Now()
	there, err := exist(ctx, d.target, keys)
	if err != nil {
		return err
	}
	d.res.Looked += int64(len(keys))
	if there < int64(len(keys)) {
		doubts, err := d.look(ctx, keys)
		if err != nil {
			return err
		}
		if err := d.doubt(ctx, doubts); err != nil {
			return err
		}
	}
	d.tell()
	if d.Rate <= 0 {
		return nil
	}
	return ctxtime.Sleep(ctx, time.Duration(float64(len(keys))/d.Rate*float64(time.Second))-time.Since(began))
}

// doubt keeps keys that may differ, and settles them once there are many.
func (d *differ) doubt(ctx context.Context, doubts []*doubt) error {
	d.open = append(d.open, doubts...)
	d.tell()
	if len(d.open) < MaxOpen {
		return nil
	}
	return d.settle(ctx)
}

func (d *differ) tell() {
	if d.Progress == nil {
		return
	}
	p := Progress{Looked: d.looked, Keys: d.res.Compared, Of: d.total, Differ: d.res.Differ, InDoubt: len(d.open)}
	if d.looked {
		p.Keys = d.res.Looked
	}
	d.Progress(p)
}

// advance takes the scratch server to the journal's end: now, or from time to time.
func (d *differ) advance(ctx context.Context, now bool) error {
	if !d.Live || !now && time.Since(d.advanced) < advanceEvery {
		return nil
	}
	view, err := d.View.Again()
	if err == nil {
		d.View, d.advanced = view, time.Now()
		err = d.Follower.Advance(ctx, view)
	}
	return err
}

// findLast finds the last writes of the keys that differ.
func (d *differ) findLast(ctx context.Context) error {
	if len(d.res.List) == 0 {
		return nil
	}
	keys := make([]replay.KeyName, len(d.res.List))
	for i, f := range d.res.List {
		keys[i] = replay.KeyName(f.Key)
	}
	found, err := replay.LastWrites(ctx, d.View, d.res.Timeline, d.res.To, keys, nil)
	for i := range d.res.List {
		if w, ok := replay.Lookup(found, keys[i]); ok {
			d.res.List[i].Last = &w
		}
	}
	return err
}
