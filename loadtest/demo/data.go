package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// replyTimeout bounds the wait for one reply.
const replyTimeout = 60 * time.Second

// databases are the databases of the data set.
var databases = []int{0, 1, 5}

// batch is how many commands go in one write.
const batch = 1000

// loadPrefix begins the keys of the background clients. They are not part of the data set.
const loadPrefix = "load:"

// fill writes n keys of several types, spread over the databases, a third of them with a deadline.
func fill(ctx context.Context, addr string, n int) error {
	c, err := harness.DialClient(addr, replyTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	each := n / len(databases)
	for d, db := range databases {
		count := each
		if d == 0 {
			count = n - each*(len(databases)-1)
		}
		if _, err := c.Must("SELECT", strconv.Itoa(db)); err != nil {
			return err
		}
		for from := 0; from < count; from += batch {
			if err := fillBatch(ctx, c, from, min(from+batch, count)); err != nil {
				return err
			}
		}
	}
	return nil
}

func fillBatch(ctx context.Context, c *harness.Client, from, to int) error {
	for i := from; i < to; i++ {
		key := "item:" + strconv.Itoa(i)
		switch value := "value of " + key; i % 6 {
		case 0:
			c.Put("HSET", key, "name", value, "n", strconv.Itoa(i))
		case 1:
			c.Put("RPUSH", key, value, key)
		case 2, 3:
			c.Put("SET", key, value, "EX", strconv.Itoa(86400+i))
		default:
			c.Put("SET", key, value)
		}
	}
	if err := c.Flush(); err != nil {
		return err
	}
	for range to - from {
		v, err := c.Reply()
		if e, ok := v.(harness.ErrReply); ok {
			err = e
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// print is the fingerprint of a data set: the number of keys, and the sum of a hash of each key
// with its database, the digest of its value and its deadline. A sum does not depend on the order.
type print struct {
	keys int
	sum  [4]uint64
}

func (p *print) add(db int, key, digest string, deadline int64) {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %q %s %d", db, key, digest, deadline))
	p.keys++
	for i := range p.sum {
		p.sum[i] += binary.LittleEndian.Uint64(h[8*i:])
	}
}

// fingerprint reads the data set from the server itself.
func fingerprint(ctx context.Context, addr string) (p print, err error) {
	c, err := harness.DialClient(addr, replyTimeout)
	if err != nil {
		return p, err
	}
	defer c.Close()
	for _, db := range databases {
		if _, err := c.Must("SELECT", strconv.Itoa(db)); err != nil {
			return p, err
		}
		seen := map[string]bool{} // SCAN may show a key twice
		for cursor := ""; cursor != "0"; {
			if cursor == "" {
				cursor = "0"
			}
			v, err := c.Must("SCAN", cursor, "COUNT", strconv.Itoa(batch))
			if err != nil {
				return p, err
			}
			page, ok := v.([]any)
			if !ok || len(page) != 2 {
				return p, fmt.Errorf("SCAN: %v", v)
			}
			cursor, _ = page[0].(string)
			keys, _ := page[1].([]any)
			if err := p.addKeys(c, db, keys, seen); err != nil {
				return p, err
			}
			if err := ctx.Err(); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// addKeys asks for the digests and the deadlines of some keys.
func (p *print) addKeys(c *harness.Client, db int, found []any, seen map[string]bool) error {
	args := []string{"DEBUG", "DIGEST-VALUE"}
	for _, k := range found {
		if key, _ := k.(string); !seen[key] && !strings.HasPrefix(key, loadPrefix) {
			seen[key] = true
			args = append(args, key)
		}
	}
	keys := args[2:]
	if len(keys) == 0 {
		return nil
	}
	c.Put(args...)
	for _, key := range keys {
		c.Put("PEXPIRETIME", key)
	}
	if err := c.Flush(); err != nil {
		return err
	}
	v, err := c.Reply()
	digests, ok := v.([]any)
	if err != nil || !ok || len(digests) != len(keys) {
		return fmt.Errorf("DEBUG DIGEST-VALUE: %v, %w", v, err)
	}
	for i, key := range keys {
		v, err := c.Reply()
		deadline, ok := v.(int64)
		if err != nil || !ok {
			return fmt.Errorf("PEXPIRETIME: %v, %w", v, err)
		}
		p.add(db, key, fmt.Sprint(digests[i]), deadline)
	}
	return nil
}
