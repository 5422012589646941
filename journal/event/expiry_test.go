package event

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// A count is the server's count of expired keys, which samples give a feeder.
type count struct {
	*feeder
	total  int64
	batch  int  // keys of a DEL of the server's
	silent bool // the server does not count
}

func feedSampled() *count {
	c := &count{feeder: feed(), total: 77, batch: 1}
	c.give("SELECT 0")
	c.sample()
	return c
}

func (c *count) sample() {
	total := c.total
	c.w.Sample(1, Sample{Offset: c.at, Expired: &total, Time: c.now})
}

// second deletes keys, of which some have expired, and takes a sample a second later.
func (c *count) second(deleted, expired int) {
	for range expired / c.batch {
		c.give(del(c.batch))
	}
	for range (deleted - expired) / 100 {
		c.give(del(100))
	}
	c.sleep(time.Second)
	c.total += int64(expired)
	if !c.silent {
		c.sample()
	}
}

// del deletes as many keys.
func del(keys int) string { return "DEL" + strings.Repeat(" k", keys) }

// texts are the events, all ended.
func (c *count) texts() (texts []string) {
	c.sleep(time.Minute)
	c.give("PING", "DEL k")
	for _, e := range c.closed() {
		texts = append(texts, e.Text())
	}
	return texts
}

// The server's own count tells expired keys from those that clients delete. Each are an event for themselves.
func TestExpiry(t *testing.T) {
	const second = Deletes * 3 / 4
	for name, row := range map[string]struct {
		expired int // of each second's deletes
		silent  bool
		want    string
	}{
		"all have expired":        {expired: second, want: "37500 expired keys"},
		"two thirds have expired": {expired: second / 3 * 2, want: "25000 expired keys, 125 DEL in db0 of up to 12500 keys"},
		"clients deleted them":    {want: "375 DEL in db0 of up to 37500 keys"},
		"no sample comes":         {expired: second, silent: true, want: "37500 DEL in db0 of up to 37500 keys"},
		"few have expired":        {expired: 100, want: "370 DEL in db0 of up to 37000 keys"},
	} {
		c := feedSampled()
		c.silent = row.silent
		for range 5 {
			c.second(second, row.expired)
		}
		if got := c.texts(); len(got) != 1 || got[0] != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

// Keys of a cache expire all the time: only many more than usual are an event, which has all of them. A watcher that
// goes on from the State of another knows the usual number.
func TestUsualExpiry(t *testing.T) {
	for _, again := range []bool{false, true} {
		c := feedSampled()
		c.batch = 100
		rate := func(seconds, keys int) {
			for range seconds {
				c.second(keys, keys)
			}
		}
		rate(10, 100)
		for i := range 20 { // a cache that fills within minutes
			rate(60, 100*i)
		}
		if len(c.found) > 0 {
			t.Fatalf("at a rate that rises to 1,900 keys a second: %+v", c.found)
		}
		if again {
			text, err := json.Marshal(c.w.State())
			var s State
			if err != nil || json.Unmarshal(text, &s) != nil {
				t.Fatal(err)
			}
			c.w = NewWatcher(s)
			c.w.Found = func(e Event) { c.found = append(c.found, e) }
		}
		rate(20, 2500)
		began, from := c.now, c.at
		rate(10, 40000)
		to := c.at
		c.texts()
		if len(c.closed()) != 1 {
			t.Fatalf("again %v: %+v", again, c.found)
		}
		e := c.closed()[0]
		if keys := e.keys(); keys < 400_000 || keys > 400_000+10*2500 || e.To != to || e.From > from || apart(e.First, began, Window) ||
			e.Commands() || e.Deletes() {
			t.Errorf("again %v: %+v, want 400,000 keys from %d to %d", again, e, from, to)
		}
	}
}

// A sample that is ahead of the stream counts once the stream has reached it.
func TestExpiryAheadOfTheStream(t *testing.T) {
	c := feedSampled()
	const keys = Deletes + 100
	c.total += keys
	ahead := Sample{Offset: c.at + keys/100*int64(len(resp(del(100)))), Expired: &c.total, Time: c.now.Add(time.Second)}
	c.w.Sample(1, ahead)
	c.second(keys, 0)
	if got := c.texts(); !slices.Equal(got, []string{"10100 expired keys"}) {
		t.Errorf("%q", got)
	}
}

// After a pause without writes, and so without samples, deletes wait for the next sample. Where none comes, they count
// with the primary's next ping.
func TestDeletesAfterAPause(t *testing.T) {
	for _, row := range []struct {
		expired int
		silent  bool
		want    string
	}{{Deletes, false, "10000 expired keys"}, {0, false, "100 DEL in db0 of up to 10000 keys"}, {0, true, "100 DEL in db0 of up to 10000 keys"}} {
		c := feedSampled()
		c.silent = row.silent
		c.sleep(time.Hour)
		c.second(Deletes, row.expired)
		c.sleep(Patience)
		c.give("PING")
		if got := c.found; len(got) != 1 || got[0].Text() != row.want {
			t.Errorf("%+v: %+v", row, got)
		}
	}
}
