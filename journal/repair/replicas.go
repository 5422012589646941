package repair

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/place"
	"holdfast/journal/replay"
	"holdfast/journal/vfs"
)

// ReplicaOptions configure a feed of replicas before one of them is promoted. All but FS and Logger are
// required.
type ReplicaOptions struct {
	Dir      string
	FS       vfs.FS // nil: the machine's
	View     *journal.View
	Primary  string // host:port of the primary that is gone
	Places   *place.Book
	Replicas []keyspace.Endpoint // its known replicas
	Linked   bool                // also those that believe to be connected to it
	Logger   *slog.Logger        // nil: discard
	step     func(string)
}

// ReplicaFed is the outcome for one replica.
type ReplicaFed struct {
	replay.Fed
	Server string
	Err    error
}

// FeedReplicas gives the replicas of a primary that is gone their missing writes, all at once. No
// repair may run meanwhile: ErrRunning.
func FeedReplicas(ctx context.Context, o ReplicaOptions) ([]ReplicaFed, error) {
	unlock, err := Lock(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := make([]ReplicaFed, len(o.Replicas))
	var all sync.WaitGroup
	for i, e := range o.Replicas {
		all.Go(func() { out[i] = o.feed(ctx, e) })
	}
	all.Wait()
	return out, nil
}

func (o *ReplicaOptions) feed(ctx context.Context, e keyspace.Endpoint) ReplicaFed {
	noted := false
	fed, err := replay.FeedReplica(ctx, replay.ReplicaFeed{Replica: e, Primary: o.Primary, Places: o.Places, View: o.View,
		Linked: o.Linked, Logger: o.Logger, Step: o.step,
		Put: func(b journal.Borrowed) error {
			noted = true
			return journal.LeaveBorrowed(o.FS, o.Dir, b)
		}})
	if noted && !fed.Lent { // an older note is about a feed that was killed
		err = errors.Join(err, journal.ForgetBorrowed(o.FS, o.Dir, e.Address))
	}
	return ReplicaFed{Fed: fed, Server: e.Address, Err: err}
}

// takenFor is for how long a replica that another took away may come back.
const takenFor = 10 * time.Second

// GiveBack gives the replicas back that a feed has left ours, which has ended: by this process or another.
// It returns their addresses, and does nothing while a feed or a repair is running. e has the login at servers.
func GiveBack(ctx context.Context, disk vfs.FS, dir string, e keyspace.Endpoint) (back []string, err error) {
	if notes, err := journal.BorrowedIn(disk, dir); len(notes) == 0 {
		return nil, err
	}
	unlock, err := Lock(disk, dir)
	if errors.Is(err, ErrRunning) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	notes, err := journal.BorrowedIn(disk, dir) // the feed that ended meanwhile may have removed some
	for _, note := range notes {
		e.Address = note.Server
		ours, given, giveErr := replay.GiveBack(ctx, e, note)
		if ours && given {
			back = append(back, note.Server)
		}
		if since := time.Since(note.Time); given || giveErr == nil && (since > takenFor || since < 0) {
			giveErr = errors.Join(giveErr, journal.ForgetBorrowed(disk, dir, note.Server))
		}
		err = errors.Join(err, giveErr)
	}
	return back, err
}
