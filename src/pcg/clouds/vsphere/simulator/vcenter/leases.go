package main

// Imports of images. The simulator's lease is ready at once, never ends by itself, keeps the machine when it is aborted,
// and throws the uploaded bytes away uncounted. Here a lease lives as a vCenter's: a task shows it while it lasts, it
// ends with an error when the upload breaks or nobody reports progress, and only a completed one leaves a machine.

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const uploadPrefix = "/nfc/"
const leaseSeconds = 300.0

type lease struct {
	mo.HttpNfcLease
	name   string // of the imported machine
	task   *simulator.Task
	faults importFaults

	mutex    sync.Mutex // guards what follows
	uploaded int64
	percent  int32
	how      string // empty while it lasts, then: done, aborted, or what went wrong
	timer    *time.Timer
}

type leaseBook struct {
	mutex  sync.Mutex
	all    []*lease
	faults importFaults
}

func (v *vcenter) importVApp(user string, request *types.ImportVApp) *answer {
	spec, ok := request.Spec.(*types.VirtualMachineImportSpec)
	if !ok || request.Folder == nil {
		return nil
	}
	v.inventory.Lock()
	defer v.inventory.Unlock()
	if taken := childNamed(*request.Folder, spec.ConfigSpec.Name); taken != nil {
		return refuse(&types.DuplicateName{Name: spec.ConfigSpec.Name, Object: *taken}, "The name already exists.")
	}
	inOwnDirectory(&spec.ConfigSpec, len(v.leases.all))
	info, fault := v.importedBySimulator(request)
	if fault != nil {
		return refuse(fault, "The import was refused.")
	}
	l := v.newLease(user, request.This, spec.ConfigSpec.Name, info)
	go v.becomeReady(l)
	return respond(&types.ImportVAppResponse{Returnval: l.Self})
}

// inOwnDirectory: a directory keeps its name when its machine is renamed, so the next import of a name needs another.
func inOwnDirectory(config *types.VirtualMachineConfigSpec, number int) {
	directory := fmt.Sprintf("%s_%d", config.Name, number)
	config.Files.VmPathName = strings.TrimSpace(config.Files.VmPathName) + " " + directory
	for _, change := range config.DeviceChange {
		device := change.GetVirtualDeviceConfigSpec().Device.GetVirtualDevice()
		if backing, ok := device.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
			backing.FileName = strings.Replace(backing.FileName, config.Name+"/", directory+"/", 1)
		}
	}
}

// importedBySimulator makes the machine, and answers what the simulator's own lease says of it. That lease is given up.
func (v *vcenter) importedBySimulator(request *types.ImportVApp) (*types.HttpNfcLeaseInfo, types.BaseMethodFault) {
	ctx := context.Background()
	response, err := methods.ImportVApp(ctx, v.service, request)
	if err != nil {
		return nil, vimFault(err)
	}
	var inner mo.HttpNfcLease
	if err := mo.RetrieveProperties(ctx, v.service, v.content.PropertyCollector, response.Returnval, &inner); err != nil {
		return nil, vimFault(err)
	}
	if _, err := methods.HttpNfcLeaseComplete(ctx, v.service, &types.HttpNfcLeaseComplete{This: inner.Self}); err != nil {
		return nil, vimFault(err)
	}
	created := time.Now()
	machine(inner.Info.Entity).Config.CreateDate = &created
	return inner.Info, nil
}

func (v *vcenter) newLease(
	user string, pool types.ManagedObjectReference, name string, info *types.HttpNfcLeaseInfo,
) *lease {
	v.leases.mutex.Lock()
	defer v.leases.mutex.Unlock()
	l := &lease{name: name, faults: v.leases.faults.take()}
	l.Self = types.ManagedObjectReference{Type: "HttpNfcLease", Value: fmt.Sprintf("lease-%d", len(v.leases.all)+1)}
	l.State = types.HttpNfcLeaseStateInitializing
	l.Info = info
	l.Info.Lease = l.Self
	l.Info.LeaseTimeout = int32(l.faults.seconds())
	for i := range l.Info.DeviceUrl {
		device := &l.Info.DeviceUrl[i]
		host := "*"
		if l.faults.Host != "" {
			host, device.SslThumbprint = l.faults.Host, l.faults.Thumbprint
		}
		device.Url = (&url.URL{Scheme: "https", Host: host, Path: uploadPrefix + l.Self.Value + "/" + device.TargetId}).String()
	}
	l.task = v.importTask(user, pool, l)
	l.timer = time.AfterFunc(l.faults.patience(), func() { v.endLease(l, "the lease timed out", true) })
	simulator.Map.Put(l)
	v.leases.all = append(v.leases.all, l)
	return l
}

// importTask is what everybody sees of an import under way; it occupies the machine, as vCenter's does.
func (v *vcenter) importTask(user string, pool types.ManagedObjectReference, l *lease) *simulator.Task {
	task := simulator.CreateTask(pool, "ImportVAppLRO", nil)
	v.tasks.mutex.Lock()
	v.tasks.all = append(v.tasks.all, loggedTask{task: task, method: "ImportVApp", target: l.name, user: user})
	v.tasks.busy[l.Info.Entity] = task.Self
	v.tasks.mutex.Unlock()
	simulator.Map.WithLock(task, func() {
		task.Info.Name, task.Info.DescriptionId = "ImportVAppLRO", "ResourcePool.ImportVAppLRO"
		task.Info.EntityName = nameOf(pool)
		task.Info.Reason = &types.TaskReasonUser{UserName: user}
	})
	v.update(task, map[string]interface{}{"info.state": types.TaskInfoStateRunning, "info.startTime": time.Now()})
	return task
}

func (v *vcenter) becomeReady(l *lease) {
	time.Sleep(50 * time.Millisecond) // a vCenter needs a moment to make the machine
	l.mutex.Lock()
	over := l.how != ""
	l.mutex.Unlock()
	if !over {
		v.leaseState(l, types.HttpNfcLeaseStateReady, nil)
	}
}

func (v *vcenter) leaseState(l *lease, state types.HttpNfcLeaseState, fault types.BaseMethodFault) {
	changes := []types.PropertyChange{{Name: "state", Val: state}}
	if fault != nil {
		failure := types.LocalizedMethodFault{Fault: fault, LocalizedMessage: "The import failed."}
		changes = append([]types.PropertyChange{{Name: "error", Val: failure}}, changes...)
	}
	simulator.Map.WithLock(l, func() { simulator.Map.Update(l, changes) })
}

// endLease ends it once. A failed or aborted lease takes its machine with it.
func (v *vcenter) endLease(l *lease, how string, failed bool) {
	l.mutex.Lock()
	if l.how != "" {
		l.mutex.Unlock()
		return
	}
	l.how = how
	l.timer.Stop()
	l.mutex.Unlock()
	changes := map[string]interface{}{"info.completeTime": time.Now(), "info.state": types.TaskInfoStateSuccess}
	v.tasks.mutex.Lock()
	delete(v.tasks.busy, l.Info.Entity)
	v.tasks.mutex.Unlock()
	if how != "done" {
		v.inventory.Lock()
		response, err := methods.Destroy_Task(context.Background(), v.service, &types.Destroy_Task{This: l.Info.Entity})
		if err == nil {
			_, _ = v.outcome(response.Returnval, nil) // the machine is gone, which is all that was wanted
		}
		v.inventory.Unlock()
		fault := &types.SystemError{Reason: how}
		changes["info.error"] = types.LocalizedMethodFault{Fault: fault, LocalizedMessage: how}
		changes["info.state"] = types.TaskInfoStateError
		if failed {
			v.leaseState(l, types.HttpNfcLeaseStateError, fault)
		}
	}
	v.update(l.task, changes)
	if !failed {
		simulator.Map.Remove(l.Self)
	}
}

// leaseCall answers Progress, Complete and Abort; nil: not one of ours.
func (v *vcenter) leaseCall(method *simulator.Method) *answer {
	l, ok := simulator.Map.Get(method.This).(*lease)
	if !ok {
		return nil
	}
	l.mutex.Lock()
	over := l.how != ""
	l.mutex.Unlock()
	if over {
		return refuse(&types.InvalidState{}, "The lease has ended.")
	}
	switch request := method.Body.(type) {
	case *types.HttpNfcLeaseProgress:
		l.mutex.Lock()
		l.percent = request.Percent
		l.timer.Reset(l.faults.patience())
		l.mutex.Unlock()
		return respond(&types.HttpNfcLeaseProgressResponse{})
	case *types.HttpNfcLeaseComplete:
		v.endLease(l, "done", false)
		return respond(&types.HttpNfcLeaseCompleteResponse{})
	case *types.HttpNfcLeaseAbort:
		v.endLease(l, "aborted", false)
		return respond(&types.HttpNfcLeaseAbortResponse{})
	}
	return nil
}
