#include "async/lanes.h"

namespace skiff::async {

struct Lanes::Job {
    std::function<Result<void>()> work;
    Event done;
    Result<void> result;
};

// One job's claim on its lane; the lane goes with the last.
class Lanes::Place {
public:
    Place(Lanes& lanes, std::string key) : lanes_(lanes), key_(std::move(key)) {
        auto& lane = lanes_.lanes_[key_];
        if (!lane) {
            lane = std::make_shared<Lane>();
        }
        lane_ = lane;
        ++lane_->jobs;
    }
    ~Place() {
        if (--lane_->jobs == 0) {
            lanes_.lanes_.erase(key_);
        }
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    [[nodiscard]] Lane& lane() { return *lane_; }

private:
    Lanes& lanes_;
    std::string key_;
    std::shared_ptr<Lane> lane_;
};

Lanes::Lanes(Executor executor, BlockingPool& pool) : pool_(pool), jobs_(std::move(executor)) {}

Task<void> Lanes::carry_out(std::shared_ptr<Place> place, std::shared_ptr<Job> job) {
    auto turn = co_await place->lane().free.acquire();
    if (!turn) {
        job->result = fail(std::move(turn.error()));
    } else {
        job->result = co_await pool_.run(job->work);
    }
    job->done.set();
}

Task<Result<void>> Lanes::run(std::string key, std::function<Result<void>()> work) {
    auto job = std::make_shared<Job>();
    job->work = std::move(work);
    auto place = std::make_shared<Place>(*this, key);
    jobs_.spawn("lane " + key, carry_out(std::move(place), job));
    SKIFF_CO_CHECK(co_await job->done.wait());
    co_return job->result;
}

Task<void> Lanes::stop() {
    auto joined = co_await jobs_.join();
    co_await jobs_.stop();
}

}  // namespace skiff::async
