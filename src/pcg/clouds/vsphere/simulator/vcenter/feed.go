package main

// A counter that rises with every change that the machine runner must hear of, and the names that running clone tasks
// have reserved.

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

type feed struct {
	mutex    sync.Mutex
	revision int64
	changed  chan struct{}
	reserved map[string]bool
}

func newFeed() *feed {
	return &feed{changed: make(chan struct{}), reserved: make(map[string]bool)}
}

func (f *feed) bump() {
	f.mutex.Lock()
	f.revision++
	close(f.changed)
	f.changed = make(chan struct{})
	f.mutex.Unlock()
}

// wait returns the present revision as soon as it differs from `after`, or when the time is over.
func (f *feed) wait(ctx context.Context, after int64, timeout time.Duration) int64 {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		f.mutex.Lock()
		revision, changed := f.revision, f.changed
		f.mutex.Unlock()
		if revision != after {
			return revision
		}
		select {
		case <-changed:
		case <-deadline.C:
			return revision
		case <-ctx.Done():
			return revision
		}
	}
}

// reserve keeps a name for a running clone task; it answers who has it already. Called under the inventory lock.
func (f *feed) reserve(folder types.ManagedObjectReference, name string) *types.ManagedObjectReference {
	if taken := childNamed(folder, name); taken != nil {
		return taken
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	key := folder.Value + "/" + name
	if f.reserved[key] {
		return &folder // the machine of the other task has no reference yet
	}
	f.reserved[key] = true
	return nil
}

func (f *feed) unreserve(folder types.ManagedObjectReference, name string) {
	f.mutex.Lock()
	delete(f.reserved, folder.Value+"/"+name)
	f.mutex.Unlock()
}

// What follows makes the feed a listener of the simulator's registry.

func (f *feed) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "PcgFeed", Value: "feed"}
}

func (f *feed) PutObject(object mo.Reference) {
	if object.Reference().Type == "VirtualMachine" {
		f.bump()
	}
}

func (f *feed) UpdateObject(object mo.Reference, changes []types.PropertyChange) {
	if object.Reference().Type != "VirtualMachine" {
		return
	}
	for _, change := range changes {
		if change.Name == "runtime.powerState" || change.Name == "name" || strings.HasPrefix(change.Name, "config.extraConfig") {
			f.bump()
			return
		}
	}
}

func (f *feed) RemoveObject(ref types.ManagedObjectReference) {
	if ref.Type == "VirtualMachine" {
		f.bump()
	}
}
