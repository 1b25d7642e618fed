package main

// Where the disks of an import are sent to, the faults that a test may order for it, and what the control API tells.

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"crypto/tls"
)

// importFaults are ordered for the next imports. Bytes count over all disks of one lease; zero: no such fault.
type importFaults struct {
	Times        int     `json:"times"`        // for how many of the next imports
	BreakAfter   int64   `json:"breakAfter"`   // bytes: the connection is reset and the lease fails
	LeaseAfter   int64   `json:"leaseAfter"`   // bytes: the lease fails, the connection goes on
	AbortAfter   int64   `json:"abortAfter"`   // bytes: somebody aborts the lease
	RefuseAfter  int64   `json:"refuseAfter"`  // bytes: the host answers 503, the lease lives on
	Host         string  `json:"host"`         // HOST:PORT of the device URLs, for example of a closed port
	Thumbprint   string  `json:"thumbprint"`   // SHA-1 of that host's certificate, as vCenter would tell it
	LeaseTimeout float64 `json:"leaseTimeout"` // seconds without progress
}

// take is what the next lease gets. Called under the book's mutex.
func (f *importFaults) take() importFaults {
	if f.Times <= 0 {
		return importFaults{}
	}
	f.Times--
	return *f
}

func (f importFaults) seconds() float64 {
	if f.LeaseTimeout > 0 {
		return f.LeaseTimeout
	}
	return leaseSeconds
}

func (f importFaults) patience() time.Duration {
	return time.Duration(f.seconds() * float64(time.Second))
}

func (v *vcenter) leaseOfUpload(path string) *lease {
	id, device, _ := strings.Cut(strings.TrimPrefix(path, uploadPrefix), "/")
	v.leases.mutex.Lock()
	defer v.leases.mutex.Unlock()
	for _, l := range v.leases.all {
		if l.Self.Value != id {
			continue
		}
		for _, one := range l.Info.DeviceUrl {
			if one.TargetId == device {
				return l
			}
		}
	}
	return nil
}

func (v *vcenter) serveUpload(w http.ResponseWriter, r *http.Request) {
	l := v.leaseOfUpload(r.URL.Path)
	if l == nil {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	buffer := make([]byte, 16<<10)
	for {
		n, err := r.Body.Read(buffer)
		l.mutex.Lock()
		l.uploaded += int64(n)
		uploaded := l.uploaded
		over := l.how
		l.mutex.Unlock()
		passed := func(limit int64) bool { return limit > 0 && uploaded >= limit }
		switch {
		case passed(l.faults.BreakAfter):
			v.endLease(l, "the upload was interrupted", true)
			reset(w)
			return
		case passed(l.faults.LeaseAfter):
			v.endLease(l, "the datastore failed", true)
		case passed(l.faults.AbortAfter):
			v.endLease(l, "aborted", false)
			reset(w)
			return
		case passed(l.faults.RefuseAfter):
			http.Error(w, "the host is busy", http.StatusServiceUnavailable)
			return
		case over == "aborted":
			reset(w)
			return
		}
		if err == io.EOF {
			w.WriteHeader(http.StatusCreated)
			return
		}
		if err != nil {
			v.endLease(l, "the client went away", true)
			return
		}
	}
}

// reset ends the connection as a broken network does: without a word, and without TLS's own farewell.
func reset(w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if secured, ok := connection.(*tls.Conn); ok {
		connection = secured.NetConn()
	}
	if plain, ok := connection.(*net.TCPConn); ok {
		_ = plain.SetLinger(0)
	}
	_ = connection.Close()
}

type importView struct {
	Lease    string `json:"lease"`
	Name     string `json:"name"`
	Uploaded int64  `json:"uploaded"`
	Percent  int32  `json:"percent"`
	Ended    string `json:"ended"`
}

// controlImports: GET tells every import so far, POST orders faults for the next ones.
func (v *vcenter) controlImports(w http.ResponseWriter, r *http.Request) {
	v.leases.mutex.Lock()
	defer v.leases.mutex.Unlock()
	if r.Method == http.MethodPost {
		var wanted importFaults
		if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if wanted.Times == 0 {
			wanted.Times = 1
		}
		v.leases.faults = wanted
		reply(w, wanted)
		return
	}
	views := []importView{}
	for _, l := range v.leases.all {
		l.mutex.Lock()
		views = append(views, importView{l.Self.Value, l.name, l.uploaded, l.percent, l.how})
		l.mutex.Unlock()
	}
	reply(w, map[string]interface{}{"imports": views})
}
