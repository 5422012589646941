package proxy

import (
	"strconv"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// What goes to the trash in a transaction goes there at EXEC, and the reply of the script that does
// it is the client's. So the script leaves the id of the entry under a mark, for the proxy to fetch
// when EXEC was answered; only then the audit log hears of it: what was discarded did not happen.

// queuedTrash is what the audit log is told of when EXEC was answered.
type queuedTrash struct {
	mark  string
	entry auditEntry
}

// marksAsked is how many ids one script fetches.
const marksAsked = 1000

// newMark is a name that no other command has.
func (s *session) newMark() string {
	return strconv.FormatUint(s.id, 36) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-" +
		strconv.Itoa(len(s.queuedTrash))
}

// noteAtExec is note for a command in a transaction.
func (s *session) noteAtExec(j *trashJob, cmd *policy.Command) {
	if s.again.waited {
		return
	}
	s.w.counters.Rules[j.rule.Index].Trashed++
	s.queuedTrash = append(s.queuedTrash, queuedTrash{
		j.mark, s.auditEntry(j.frame, cmd, j.rule, trashed),
	})
}

// tellTrashed tells the audit log what a transaction has moved to the trash. ran is false where the
// link broke, and nobody knows.
func (w *worker) tellTrashed(list []queuedTrash, ran bool) {
	if !ran {
		w.putTrashed(list, nil)
		return
	}
	for len(list) > 0 {
		n := min(len(list), marksAsked)
		page := list[:n]
		list = list[n:]
		marks := make([]string, n)
		for i := range page {
			marks[i] = page[i].mark
		}
		w.runTrash(scriptTold, marks, func(v *resp.Value, err error) {
			if err != nil {
				w.log.Debug("the ids of what is in the trash are not known", "error", err)
				v = nil
			}
			w.putTrashed(page, v)
		})
	}
}

// putTrashed hands lines to the audit log, with the ids that are known.
func (w *worker) putTrashed(list []queuedTrash, ids *resp.Value) {
	a := w.srv.audits.Load()
	if a == nil {
		return
	}
	for i := range list {
		e := list[i].entry
		if ids != nil && i < len(ids.Elems) {
			e.Trash = string(ids.Elems[i].Str)
		}
		a.put(e)
	}
}
