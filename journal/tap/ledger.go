package tap

import (
	"context"
	"strconv"

	"holdfast/journal/event"
)

// readLedger asks the server for the content of its trash, when a stream begins or resumes behind a
// gap: the stream does not tell, and the final flush of an expired entry's database would look like
// a client's. If the ledger cannot be read, it will.
func (t *Tap) readLedger(ctx context.Context) map[int64][]int {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	values, err := t.ledger(ctx)
	if err != nil && ctx.Err() == nil {
		t.log.Info("journal: the trash's ledger cannot be read: where there is one, the end of an entry from "+
			"before now will be called an event", "error", err)
	}
	return event.Slots(values)
}

func (t *Tap) ledger(ctx context.Context) ([]string, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if t.opts.Ledger == 0 {
		_, err = selectMark(ctx, conn)
	} else {
		_, err = conn.Do(ctx, "sElEcT", strconv.Itoa(t.opts.Ledger))
	}
	if err != nil {
		return nil, err
	}
	v, err := conn.Do(ctx, "hVaLs", event.LedgerKey)
	if err != nil {
		return nil, refused("HVALS", err)
	}
	list, _ := v.([]any)
	values := make([]string, 0, len(list))
	for _, v := range list {
		text, _ := v.(string)
		values = append(values, text)
	}
	return values, nil
}
