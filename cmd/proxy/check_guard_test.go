package main

import (
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

func TestCheckGuard(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "&*", "+@all", "-flushdb")
	srv.MustDo("ACL", "SETUSER", "eve", "on", ">x", "~*", "+@all", "-@dangerous")
	srv.MustDo("ACL", "SETUSER", "gone", "off", "~*", "+@all")
	srv.MustDo("ACL", "SETUSER", "weak", "on", ">x", "~*", "&*", "+@all", "-acl|setuser")
	const rules = "rules:\n- {name: flush, commands: [flushall, flushdb], action: deny}\n" +
		"- {name: pay, commands: [del], keys: [\"pay:*\"], action: deny}\n"
	at := "upstream: {address: \"" + srv.Addr + "\"}\n"
	out := expectCheck(t, exitDone, at+rules, nil,
		"ok    guard: scripts of the user default will run as a user who may not run FLUSHALL, FLUSHDB",
		`ok    guard: the server lets scripts run DEL, which rule "pay" restricts`,
		"ok    guard: the server refuses the user eve what the rules refuse",
		"warn  guard: the server lets scripts of the user bob run FLUSHALL, so code of his that")
	if !strings.Contains(out, ": ACL SETUSER bob -flushall\n") || strings.Contains(out, "gone") {
		t.Error(out)
	}
	expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\", guard: off}\n"+rules, nil,
		"warn  guard: the server lets scripts of the user default run FLUSHALL, FLUSHDB")
	expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\", username: weak, password: x}\n"+
		rules, nil, "warn  guard: the control user weak may not run ACL SETUSER")
	expectCheck(t, exitDone, at+"rules: []\n", nil,
		"ok    guard: the rules refuse nothing that scripts could call")
	if users := srv.MustDo("ACL", "USERS").([]any); len(users) != 5 {
		t.Errorf("check changed the users: %v", users)
	}
}
