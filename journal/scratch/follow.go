package scratch

import (
	"context"

	"holdfast/journal/replay"
)

// Follow returns a scratch server that stands at the point of a plan as a replica of this process,
// and advances with the Follower. Close the Follower before the Server. It chooses among the
// programs of PATH as [Rebuild] does.
func Follow(ctx context.Context, o Options, r replay.RestoreOptions) (*Server, *replay.Follower, error) {
	var f *replay.Follower
	s, err := o.fill(ctx, r, func(r replay.RestoreOptions) (err error) {
		f, err = replay.Follow(ctx, r)
		return err
	})
	return s, f, err
}
