package replay

import (
	"context"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
)

// followEvery is the interval between reads of the journal's folder.
const followEvery = 100 * time.Millisecond

// AwaitFollowed waits until the journal that records a restored server follows its new history, and
// a base leads there: until then, a crash of the server takes the restored data away, without a
// trace. fresh looks at the journal. It is false if the time runs out first.
func AwaitFollowed(ctx context.Context, o RestoreOptions, fresh func() (*journal.View, error),
	most time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	t, err := openTarget(ctx, o)
	if err != nil {
		return false, err
	}
	defer func() { t.conn.Close() }()
	for {
		now, err := t.look(ctx)
		if err != nil {
			return false, err
		}
		view, err := fresh()
		if err != nil {
			return false, err
		}
		if cur, ok := view.Current(); ok && cur.ReplID == now.replID {
			if _, err := view.BaseFor(cur.ID, cur.End); err == nil {
				return true, nil
			}
		}
		if ctxtime.Sleep(ctx, followEvery) != nil {
			return false, nil
		}
	}
}
