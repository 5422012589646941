package keyspace

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// A NoRoomError says that a server takes no more writes, whatever the key, or that it evicts keys for
// them. The writes so far stay; the same work can go on once the server has room.
type NoRoomError struct {
	Address string
	Refused ReplyError // the reply to a write; "": it evicts
	Evicted int64      // keys since the work began
	Limit   string     // maxmemory and its policy
}

// Error implements error.
func (e *NoRoomError) Error() string {
	const again = "then run the same command again: it goes on from there"
	switch {
	case e.Refused == "":
		return fmt.Sprintf("server %s evicts keys to make room (%d since the first write; %s), perhaps those "+
			"that were put back; CONFIG SET maxmemory, %s", e.Address, e.Evicted, e.Limit, again)
	case e.Refused.Code() == "OOM":
		return fmt.Sprintf("server %s has no memory for more: %s; CONFIG SET maxmemory, %s", e.Address, e.Refused, again)
	}
	return fmt.Sprintf("server %s refuses all writes: %s; end that, %s", e.Address, e.Refused, again)
}

// refusesAll reports whether an error reply to a write is about the server and not about the key.
func refusesAll(no ReplyError) bool {
	switch no.Code() {
	case "OOM", "MISCONF", "READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN":
		return true
	}
	return false
}

// Room watches the memory of a server that is written to: it counts the keys that the server evicts.
type Room struct {
	server *Server
	before int64
}

// NewRoom begins the count. A server that keeps its INFO to itself counts nothing.
func NewRoom(ctx context.Context, s *Server) (*Room, error) {
	r := &Room{server: s}
	info, err := r.info(ctx, "stats")
	r.before = evicted(info)
	return r, err
}

// Evicted counts the keys that the server had evicted before, since its start.
func (r *Room) Evicted() int64 { return r.before }

// Check returns a *[NoRoomError] if the server has evicted keys since. A nil Room checks nothing.
func (r *Room) Check(ctx context.Context) error {
	if r == nil {
		return nil
	}
	info, err := r.info(ctx, "stats")
	if err != nil || evicted(info) <= r.before {
		return err
	}
	limits, err := r.info(ctx, "memory")
	if err != nil {
		return err
	}
	return &NoRoomError{Address: r.server.Address(), Evicted: evicted(info) - r.before,
		Limit: fmt.Sprintf("maxmemory %s, %s", limits["maxmemory"], limits["maxmemory_policy"])}
}

// info asks for a section. A server without the right answers nothing.
func (r *Room) info(ctx context.Context, section string) (map[string]string, error) {
	info, err := r.server.Info(ctx, section)
	var refused *RefusedError
	if errors.As(err, &refused) {
		return nil, nil
	}
	return info, err
}

func evicted(info map[string]string) int64 {
	n, _ := strconv.ParseInt(info["evicted_keys"], 10, 64) // a missing figure is none
	return n
}
