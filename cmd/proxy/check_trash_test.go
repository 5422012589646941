package main

import (
	"strconv"
	"testing"

	"holdfast/proxy/proxytest"
)

const trashRules = "rules: [{name: f, commands: [flushall], action: trash}]\n"

func TestCheckTrash(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("SET", "k", "v")
	file := "upstream: {address: \"" + srv.Addr + "\"}\n" + trashRules
	expectCheck(t, exitDone, file, nil,
		"ok    trash: databases 8 9 10 11 12 13 14 15 are reserved for it and hidden from clients",
		"ok    trash: 7 of its 7 databases for flushes are free")
	for slot := range 7 {
		srv.MustDo("COPY", "k", "k", "DB", strconv.Itoa(8+slot))
	}
	expectCheck(t, exitDone, file, nil,
		"warn  trash: it is full: each of its 7 databases holds a flush, and further flushes are denied")
	expectCheck(t, exitFailed, file+"trash: {databases: [14, 16]}\n", nil,
		"FAIL  trash: the server has 16 databases, from which databases [14 16] cannot be reserved")
	srv.MustDo("ACL", "SETUSER", "holdfast", "on", ">pw", "~*", "&*", "+@all", "-swapdb", "-hdel")
	expectCheck(t, exitFailed, "upstream: {address: \""+srv.Addr+"\", username: holdfast, "+
		"password: pw}\n"+trashRules, nil,
		"FAIL  trash: the control user holdfast must be allowed SWAPDB: ",
		"FAIL  trash: the control user holdfast must be allowed HDEL: ")
}

func TestCheckTrashOnOtherServers(t *testing.T) {
	t.Parallel()
	cluster := proxytest.StartServer(t, "--cluster-enabled", "yes")
	expectCheck(t, exitFailed, "upstream: {address: \""+cluster.Addr+"\"}\n"+trashRules, nil,
		"FAIL  trash: the server is in cluster mode, which has no SWAPDB")
	few := proxytest.StartServer(t, "--databases", "2")
	expectCheck(t, exitFailed, "upstream: {address: \""+few.Addr+"\"}\n"+trashRules, nil,
		"FAIL  trash: the server has 2 databases, and the trash needs two of its own at the least")
}
