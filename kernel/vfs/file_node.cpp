// SPDX-License-Identifier: BSD-2-Clause
// Nodes for files without one.
#include <vfs/file_node.hpp>

namespace lentil {

namespace {

class FileNode final : public Vnode {
public:
    static constexpr const char* zone_name = "file_nodes";
    FileNode(VnodeType node_type, Mount& node_mount, RefPtr<File> file)
        : Vnode(node_type, node_mount), file_(std::move(file)) {}
    void dispose() override { zone_delete(this); }
    Result<FileStat> stat() override { return file_->stat(); }
    NodeOwner owner() override {
        const Result<FileStat> st = file_->stat();
        return st ? NodeOwner{st->mode, st->uid, st->gid} : NodeOwner{};
    }
    Result<RefPtr<File>> open(uint32_t flags, Vnode&) override { return file_->reopen(flags); }

private:
    const RefPtr<File> file_;
};

} // namespace

Result<RefPtr<Vnode>> file_node(Mount& mount, RefPtr<File> file) {
    const FileStat st = TRY(file->stat());
    const bool fifo = (st.mode & file_mode::type_mask) == file_mode::fifo;
    return RefPtr<Vnode>(TRY(make_ref<FileNode>(fifo ? VnodeType::fifo : VnodeType::regular, mount, std::move(file))));
}

} // namespace lentil
