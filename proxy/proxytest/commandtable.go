package proxytest

import (
	"fmt"
	"strings"
)

// CommandEntry returns an entry of COMMAND's reply with one key.
func CommandEntry(name string, flags ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*10\r\n%s:-2\r\n*%d\r\n", Bulk(name), len(flags))
	for _, f := range flags {
		fmt.Fprintf(&b, "+%s\r\n", f)
	}
	b.WriteString(":1\r\n:1\r\n:1\r\n*1\r\n+@read\r\n*0\r\n")
	b.WriteString("*1\r\n*6\r\n" + Bulk("flags") + "*1\r\n+RO\r\n" +
		Bulk("begin_search") + "*4\r\n" + Bulk("type") + Bulk("index") +
		Bulk("spec") + "*2\r\n" + Bulk("index") + ":1\r\n" +
		Bulk("find_keys") + "*4\r\n" + Bulk("type") + Bulk("range") +
		Bulk("spec") + "*6\r\n" + Bulk("lastkey") + ":0\r\n" +
		Bulk("keystep") + ":1\r\n" + Bulk("limit") + ":0\r\n*0\r\n")
	return b.String()
}
