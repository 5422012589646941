package proxy

import (
	"time"

	"holdfast/proxy/admin"
)

// A session as others see it.

func (s *session) view() sessionView {
	now := s.w.loop.Now()
	v := sessionView{
		id: s.id, worker: s.w, addr: s.conn.RemoteAddr(), laddr: s.conn.LocalAddr(),
		name: s.name, user: s.ident.userName(), lib: s.lib, db: s.db, proto: s.proto,
		age: time.Duration(now - s.accepted), idle: time.Duration(now - s.active),
		last: "NULL", certain: !s.userUnsure, traffic: s.traffic,
	}
	v.traffic.commands = s.traffic.commands - min(s.traffic.commands, uint64(s.outstanding))
	if s.last != nil {
		v.last = s.last.Name
	}
	if ln := s.ident.lanes[laneKey{kind: laneData, proto: s.proto, db: s.db}]; ln != nil && len(ln.links) > 0 {
		v.sharedID = ln.links[0].serverID
	}
	if s.pin != nil && !s.pin.retiring {
		v.serverID = s.pin.serverID
		if _, ok := tcpAddr(s.pin.localAddr); ok {
			v.linkAddr = s.pin.localAddr
		}
	}
	return v
}

func (s *session) describe() admin.Session {
	v := s.view()
	a := admin.Session{
		ID: s.id, Loop: s.w.id, Addr: v.addr, Listener: s.listener.name, User: v.user,
		Name: v.name, Protocol: int(s.proto), DB: int(s.db), Age: v.age, Idle: v.idle,
		State: s.state(), Paused: s.conn.ReadPaused(), Commands: s.traffic.commands,
		Outstanding: s.outstanding, InputBuffer: int64(s.in.kept()),
		OutputBuffer: int64(s.unread()),
	}
	if s.last != nil {
		a.LastCommand = s.last.Name
	}
	if v.lib.name != "" {
		a.Library = v.lib.name + " " + v.lib.version
	}
	if s.pin != nil {
		a.Link = s.pin.id
	}
	return a
}

// state names the reason why the session's command waits unsent, or why it holds a pinned link, or
// that its replies wait for a proof.
func (s *session) state() string {
	switch {
	case s.wait == waitUpstream:
		return "no upstream"
	case s.wait == waitProof:
		return "no proof"
	case s.pin == nil && s.gate != nil && s.gate.Holds() > 0:
		return "held"
	case s.pin == nil:
		return ""
	case s.pin.raw:
		return "replica"
	case s.pin.sub.monitor:
		return "monitor"
	case s.tx != nil:
		return "multi"
	case s.held&holdWatch != 0:
		return "watch"
	case s.pin.sub.active:
		return "subscribed"
	case s.held&holdState != 0:
		return "stateful"
	}
	return "blocked"
}
