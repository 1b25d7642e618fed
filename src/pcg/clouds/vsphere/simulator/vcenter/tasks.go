package main

// Tasks that take time. The simulator does the work before it answers; here the answer comes at once, the task stays
// visible as running with its progress, and the work is done when its time is over, as a vCenter does.

import (
	"fmt"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// work is what a task does. `begin` runs at once and may refuse; `finish` runs under the inventory lock when the time
// of the task is over; `end` runs in any case.
type work struct {
	method      string // for example CloneVM_Task
	description string // for example VirtualMachine.clone
	entity      types.ManagedObjectReference
	target      string // the name of the machine that the task makes or changes
	exclusive   bool   // one such task at a time on the entity
	begin       func() types.BaseMethodFault
	finish      func() (types.AnyType, types.BaseMethodFault)
	end         func()
}

type loggedTask struct {
	task   *simulator.Task
	method string
	target string
	user   string
}

type taskLog struct {
	mutex  sync.Mutex
	all    []loggedTask
	busy   map[types.ManagedObjectReference]types.ManagedObjectReference
	chain  int32
	events []types.BaseEvent
	stages []stage
	ended  map[types.ManagedObjectReference]bool // whom somebody cancelled
}

func newTaskLog() *taskLog {
	return &taskLog{
		busy:  make(map[types.ManagedObjectReference]types.ManagedObjectReference),
		ended: make(map[types.ManagedObjectReference]bool),
		chain: 1_000_000, // apart from the simulator's own event keys
	}
}

// start registers a task, runs it beside the call, and answers its reference and its event chain.
func (v *vcenter) start(user string, w work) (types.ManagedObjectReference, int32) {
	task := simulator.CreateTask(w.entity, w.method, nil)
	v.tasks.mutex.Lock()
	v.tasks.chain++
	chain := v.tasks.chain
	v.tasks.all = append(v.tasks.all, loggedTask{task: task, method: w.method, target: w.target, user: user})
	v.tasks.mutex.Unlock()
	simulator.Map.WithLock(task, func() {
		task.Info.Name = w.method
		task.Info.DescriptionId = w.description
		task.Info.EntityName = nameOf(w.entity)
		task.Info.Reason = &types.TaskReasonUser{UserName: user}
		task.Info.EventChainId = chain
		task.Info.Cancelable = w.method == "CloneVM_Task"
	})
	v.update(task, map[string]interface{}{
		"info.state": types.TaskInfoStateRunning, "info.startTime": time.Now(), "info.progress": int32(0),
	})
	go v.run(task, w, user, chain)
	return task.Self, chain
}

func (v *vcenter) run(task *simulator.Task, w work, user string, chain int32) {
	if w.end != nil {
		defer w.end()
	}
	var result types.AnyType
	fault := v.occupy(task, w)
	if fault == nil {
		defer v.release(task, w)
		if w.begin != nil {
			v.inventory.Lock()
			fault = w.begin()
			v.inventory.Unlock()
		}
	}
	if fault == nil {
		v.pass(task, w.method)
	}
	if fault == nil && v.tasks.isCancelled(task.Self) {
		fault = &types.RequestCanceled{}
	}
	if fault == nil {
		v.inventory.Lock()
		last := v.lastEvent()
		result, fault = w.finish()
		v.sign(last, user, chain)
		v.inventory.Unlock()
	}
	changes := map[string]interface{}{"info.completeTime": time.Now(), "info.progress": int32(100)}
	if fault != nil {
		changes["info.error"] = types.LocalizedMethodFault{Fault: fault, LocalizedMessage: fmt.Sprintf("%T", fault)[7:]}
		changes["info.state"] = types.TaskInfoStateError
	} else {
		if result != nil {
			changes["info.result"] = result
		}
		changes["info.state"] = types.TaskInfoStateSuccess
	}
	v.release(task, w) // before the task says so: whoever waited for it may act at once
	v.update(task, changes)
}

// occupy refuses a second task on a machine that is being changed, as vCenter does.
func (v *vcenter) occupy(task *simulator.Task, w work) types.BaseMethodFault {
	v.tasks.mutex.Lock()
	defer v.tasks.mutex.Unlock()
	if other, ok := v.tasks.busy[w.entity]; ok && w.exclusive {
		return &types.TaskInProgress{Task: other}
	}
	if w.exclusive {
		v.tasks.busy[w.entity] = task.Self
	}
	return nil
}

func (v *vcenter) release(task *simulator.Task, w work) {
	v.tasks.mutex.Lock()
	if v.tasks.busy[w.entity] == task.Self {
		delete(v.tasks.busy, w.entity)
	}
	v.tasks.mutex.Unlock()
}

// pass lets the task's time go by and shows its progress.
func (v *vcenter) pass(task *simulator.Task, method string) {
	v.mutex.Lock()
	total := time.Duration(v.delays[method] * float64(time.Second))
	v.mutex.Unlock()
	started := time.Now()
	for {
		left := total - time.Since(started)
		if left <= 0 || v.tasks.isCancelled(task.Self) {
			return
		}
		if left > 250*time.Millisecond {
			left = 250 * time.Millisecond
		}
		time.Sleep(left)
		if percent := int32(100 * time.Since(started) / total); percent < 100 {
			v.update(task, map[string]interface{}{"info.progress": percent})
		}
	}
}

// cancelTask is what a person does in vSphere's client; nothing of what the task was to make is left.
func (v *vcenter) cancelTask(user string, request *types.CancelTask) *answer {
	task, ok := simulator.Map.Get(request.This).(*simulator.Task)
	if !ok {
		return nil
	}
	var info types.TaskInfo
	simulator.Map.WithLock(task, func() { info = task.Info })
	reason, ours := info.Reason.(*types.TaskReasonUser)
	if !ours || reason.UserName != user {
		v.inventory.RLock()
		allowed := v.privilegesOn(user, v.content.RootFolder)["Global.CancelTask"]
		v.inventory.RUnlock()
		if !allowed {
			fault := &types.NoPermission{Object: v.content.RootFolder, PrivilegeId: "Global.CancelTask"}
			return refuse(fault, "Permission to perform this operation was denied.")
		}
	}
	if !info.Cancelable {
		return refuse(&types.NotSupported{}, "The task cannot be cancelled.")
	}
	if info.State != types.TaskInfoStateRunning && info.State != types.TaskInfoStateQueued {
		return refuse(&types.InvalidState{}, "The task is over.")
	}
	v.tasks.mutex.Lock()
	v.tasks.ended[task.Self] = true
	v.tasks.mutex.Unlock()
	v.update(task, map[string]interface{}{"info.cancelled": true})
	return respond(&types.CancelTaskResponse{})
}

func (l *taskLog) isCancelled(task types.ManagedObjectReference) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.ended[task]
}

// update changes a task's properties, so that waiting clients hear of it. The state goes last: a client that sees the
// task complete must find its result.
func (v *vcenter) update(task *simulator.Task, values map[string]interface{}) {
	var changes []types.PropertyChange
	for name, value := range values {
		if name != "info.state" {
			changes = append(changes, types.PropertyChange{Name: name, Val: value})
		}
	}
	if state, ok := values["info.state"]; ok {
		changes = append(changes, types.PropertyChange{Name: "info.state", Val: state})
	}
	simulator.Map.WithLock(task, func() { simulator.Map.Update(task, changes) })
}

// hide takes the simulator's own inner task out of sight: only ours is the one that a client started.
func (v *vcenter) hide(inner types.ManagedObjectReference) *simulator.Task {
	task := simulator.Map.Get(inner).(*simulator.Task)
	manager := simulator.Map.Get(*v.content.TaskManager).(*simulator.TaskManager)
	manager.Lock()
	var recent []types.ManagedObjectReference
	for _, ref := range manager.RecentTask {
		if ref != inner {
			recent = append(recent, ref)
		}
	}
	simulator.Map.Update(manager, []types.PropertyChange{{Name: "recentTask", Val: recent}})
	manager.Unlock()
	simulator.Map.Remove(inner)
	return task
}

// outcome of the simulator's inner task, as result and fault of ours.
func (v *vcenter) outcome(inner types.ManagedObjectReference, err error) (types.AnyType, types.BaseMethodFault) {
	if err != nil {
		return nil, vimFault(err)
	}
	task := v.hide(inner)
	if task.Info.Error != nil {
		return nil, task.Info.Error.Fault
	}
	return task.Info.Result, nil
}

// eventsOfChain are those that tie a running task to what it will make.
func (l *taskLog) eventsOfChain(chain int32) []types.BaseEvent {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var found []types.BaseEvent
	for _, event := range l.events {
		if event.GetEvent().ChainId == chain {
			found = append(found, event)
		}
	}
	return found
}

func machine(ref types.ManagedObjectReference) *simulator.VirtualMachine {
	vm, _ := simulator.Map.Get(ref).(*simulator.VirtualMachine)
	return vm
}

func nameOf(ref types.ManagedObjectReference) string {
	if entity, ok := simulator.Map.Get(ref).(mo.Entity); ok {
		return entity.Entity().Name
	}
	return ref.Value
}
